// The pad keeps a list of actions (strokes, erasures, loaded pictures, clearings) and redraws from it, so that every
// action can be undone and every line erased. `props.value` is the drawing as a data URL, "" if nothing is drawn.
const BRUSH_WIDTH = 5, ERASER_WIDTH = 32, QUIET = 120;
const canvas = element.querySelector("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });
const button = (name) => element.querySelector(`[data-tool="${name}"], [data-do="${name}"]`);
let done = [], undone = [], tool = "brush", stroke = null, sent = props.value || "", timer = 0;

function segment(from, to, isErased) {
    context.strokeStyle = context.fillStyle = isErased ? "white" : "black";
    context.lineWidth = isErased ? ERASER_WIDTH : BRUSH_WIDTH;
    context.lineCap = "round";
    context.beginPath();
    if (from[0] === to[0] && from[1] === to[1]) {  // a line of length 0 is not painted
        context.arc(...from, context.lineWidth / 2, 0, 2 * Math.PI);
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
    stroke({ points, isErased }) {
        points.forEach((point, index) => segment(points[Math.max(0, index - 1)], point, isErased));
    },
};

function redraw() {
    draw.clear();
    for (const action of done) draw[action.kind](action);
}

function isBlank() {
    return context.getImageData(0, 0, canvas.width, canvas.height).data.every((value) => value === 255);
}

function show() {
    for (const name of ["brush", "eraser"]) button(name).setAttribute("aria-pressed", name === tool);
    // Not `disabled`, because a button that disables itself loses the keyboard focus.
    button("undo").setAttribute("aria-disabled", !done.length);
    button("redo").setAttribute("aria-disabled", !undone.length);
    button("clear").setAttribute("aria-disabled", !done.length || done.at(-1).kind === "clear");
}

function send() {  // after a pause, so that several quick strokes cause one search
    clearTimeout(timer);
    timer = setTimeout(() => {
        if (stroke) return send();
        sent = isBlank() ? "" : canvas.toDataURL("image/png");
        props.value = sent;
    }, QUIET);
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
    segment(stroke.points.at(-1) ?? point, point, stroke.isErased);
    stroke.points.push(point);
}

function finish(event) {
    if (!stroke || event.pointerId !== stroke.pointer) return;
    const { points, isErased } = stroke;
    stroke = null;
    add({ kind: "stroke", points, isErased });
    send();
}

canvas.addEventListener("pointerdown", (event) => {
    if (stroke || event.button !== 0) return;  // a second finger, or the context menu
    canvas.setPointerCapture(event.pointerId);
    stroke = { pointer: event.pointerId, points: [], isErased: tool === "eraser" };
    extend(place(event));
});
canvas.addEventListener("pointermove", (event) => {
    if (!stroke || event.pointerId !== stroke.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) extend(place(each));
});
canvas.addEventListener("pointerup", finish);
canvas.addEventListener("pointercancel", finish);
element.addEventListener("click", (event) => {
    const { tool: chosen, do: name } = event.target.closest("button")?.dataset ?? {};
    if (chosen) tool = chosen;
    if (name) command(name);
    show();
});
document.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    const isElsewhere = event.target.closest?.("input, textarea, [contenteditable]") || !canvas.isConnected;
    if (isElsewhere || !(event.ctrlKey || event.metaKey) || !["z", "y"].includes(key)) return;
    event.preventDefault();
    command(key === "y" || event.shiftKey ? "redo" : "undo");
});
watch("value", () => {  // the server put a picture on the pad
    if (props.value === sent) return;
    clearTimeout(timer);  // strokes that were not sent yet are below the picture
    sent = props.value || "";
    if (!sent) return add({ kind: "clear" });
    const image = new Image(), wanted = sent;
    image.onload = () => {
        if (sent === wanted) add({ kind: "picture", image });
    };
    image.src = wanted;
});
redraw();
show();
requestAnimationFrame(() => canvas.setAttribute("data-ready", "yes"));
