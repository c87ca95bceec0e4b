// A sketch pad in plain JavaScript, for any page that holds pad.html and pad.css.
//
//   const pad = createPad(element, { value: "", onChange: (value) => search(value) });
//   pad.show(value);  // put a picture on the pad, or clear it with ""
//
// `pause` is the time in ms after a stroke in which another one may follow, so that quick strokes cause one search.
// The value is the drawing as a data URL, "" if nothing is drawn. The pad keeps a list of actions (strokes, erasures,
// loaded pictures, clearings) and redraws from it, so that every action can be undone and every line erased. The value
// of a picture that was not changed is the one that it was shown with.
function createPad(element, { value = "", onChange, pause = 120 }) {
    const canvas = element.querySelector("canvas");
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const hint = element.querySelector(".pad-hint"), size = element.querySelector(".pad-size input");
    const button = (name) => element.querySelector(`[data-tool="${name}"], [data-do="${name}"]`);
    const widths = { brush: 5, eraser: 32 };
    let done = [], undone = [], tool = "brush", stroke = null, sent = value, timer = 0;

    function segment(from, to, { isErased, width }) {
        context.strokeStyle = context.fillStyle = isErased ? "white" : "black";
        context.lineWidth = width;
        context.lineCap = "round";
        context.beginPath();
        if (from[0] === to[0] && from[1] === to[1]) {  // a line of length 0 is not painted
            context.arc(...from, width / 2, 0, 2 * Math.PI);
            context.fill();
            return;
        }
        context.moveTo(...from);
        context.lineTo(...to);
        context.stroke();
    }

    const draw = {
        clear() {
            context.fillStyle = "white";
            context.fillRect(0, 0, canvas.width, canvas.height);
        },
        picture({ image }) {
            draw.clear();
            context.drawImage(image, 0, 0, canvas.width, canvas.height);
        },
        stroke(action) {
            const { points } = action;
            points.forEach((point, index) => segment(points[Math.max(0, index - 1)], point, action));
        },
    };

    function redraw() {
        draw.clear();
        for (const action of done) draw[action.kind](action);
    }

    function isBlank() {
        return context.getImageData(0, 0, canvas.width, canvas.height).data.every((level) => level === 255);
    }

    function current() {
        const last = done.at(-1);
        if (last?.kind === "picture") return last.url;
        return isBlank() ? "" : canvas.toDataURL("image/png");
    }

    function show() {
        for (const name of ["brush", "eraser"]) button(name).setAttribute("aria-pressed", name === tool);
        // Not `disabled`, because a button that disables itself loses the keyboard focus.
        button("undo").setAttribute("aria-disabled", !done.length);
        button("redo").setAttribute("aria-disabled", !undone.length);
        button("clear").setAttribute("aria-disabled", !done.length || done.at(-1).kind === "clear");
        size.value = widths[tool];
        hint.hidden = Boolean(stroke) || (done.length > 0 && done.at(-1).kind !== "clear");
    }

    function send() {
        clearTimeout(timer);
        timer = setTimeout(() => {
            if (stroke) return;  // its end sends the drawing
            sent = current();
            onChange(sent);
        }, pause);
    }

    function add(action) {
        done.push(action);
        undone = [];
        redraw();  // from the list only; a stroke painted twice would have darker edges
        show();
    }

    const commands = {
        undo() {
            if (done.length) undone.push(done.pop());
        },
        redo() {
            if (undone.length) done.push(undone.pop());
        },
        clear() {
            if (done.length && done.at(-1).kind !== "clear") add({ kind: "clear" });
        },
    };

    function command(name) {
        if (stroke) return;  // a stroke is being drawn
        commands[name]();
        redraw();
        show();
        send();
    }

    function place(event) {
        const box = canvas.getBoundingClientRect();
        const scale = canvas.width / box.width;
        return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    }

    function extend(point) {
        segment(stroke.points.at(-1) ?? point, point, stroke);
        stroke.points.push(point);
    }

    function finish(event) {
        if (!stroke || event.pointerId !== stroke.pointer) return;
        const { points, isErased, width } = stroke;
        stroke = null;
        add({ kind: "stroke", points, isErased, width });
        send();
    }

    canvas.addEventListener("pointerdown", (event) => {
        if (stroke || event.button !== 0) return;  // a second finger, or the context menu
        canvas.setPointerCapture(event.pointerId);
        stroke = { pointer: event.pointerId, points: [], isErased: tool === "eraser", width: widths[tool] };
        show();
        extend(place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
        if (!stroke || event.pointerId !== stroke.pointer) return;
        const events = event.getCoalescedEvents?.() ?? [];
        for (const each of events.length ? events : [event]) extend(place(each));
    });
    canvas.addEventListener("pointerup", finish);
    canvas.addEventListener("pointercancel", finish);
    size.addEventListener("input", () => { widths[tool] = Number(size.value); });
    element.addEventListener("click", (event) => {
        const { tool: chosen, do: name } = event.target.closest("button")?.dataset ?? {};
        if (chosen) tool = chosen;
        if (name) command(name);
        show();
    });
    document.addEventListener("keydown", (event) => {
        const key = event.key.toLowerCase();
        const isText = event.target.closest?.("input:not([type=range]), textarea, [contenteditable]");
        if (isText || !canvas.isConnected || !(event.ctrlKey || event.metaKey) || !["z", "y"].includes(key)) return;
        event.preventDefault();
        command(key === "y" || event.shiftKey ? "redo" : "undo");
    });

    function showValue(wanted) {
        if (wanted === sent) return;
        clearTimeout(timer);  // strokes that were not sent yet are below the picture
        sent = wanted;
        if (!sent) return add({ kind: "clear" });
        const image = new Image();
        image.onload = () => {
            if (sent === wanted) add({ kind: "picture", image, url: wanted });
        };
        image.src = wanted;
    }

    redraw();
    show();
    requestAnimationFrame(() => canvas.setAttribute("data-ready", "yes"));
    return { show: showValue };
}
