// The pad keeps what was done as a list (strokes, erasures, loaded pictures, clearings) and redraws from it, so that
// everything can be undone and everything erased. `props.value` is the drawing as a data URL, "" while nothing is drawn.
const BRUSH_WIDTH = 5, ERASER_WIDTH = 32, QUIET = 120;
const canvas = element.querySelector("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });
const button = (name) => element.querySelector(`[data-tool="${name}"], [data-do="${name}"]`);
let done = [], undone = [], tool = "brush", stroke = null, told = props.value || "", timer = 0;

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
        context.strokeStyle = isErased ? "white" : "black";
        context.lineWidth = isErased ? ERASER_WIDTH : BRUSH_WIDTH;
        context.lineCap = context.lineJoin = "round";
        context.beginPath();
        context.moveTo(...points[0]);
        for (const point of points) context.lineTo(...point);
        context.stroke();
    },
};

function redraw() {
    draw.clear();
    for (const act of done) draw[act.kind](act);
}

function isBlank() {
    return context.getImageData(0, 0, canvas.width, canvas.height).data.every((value) => value === 255);
}

function show() {
    for (const name of ["brush", "eraser"]) button(name).setAttribute("aria-pressed", name === tool);
    button("undo").disabled = !done.length;
    button("redo").disabled = !undone.length;
    button("clear").disabled = !done.length || done.at(-1).kind === "clear";
}

function tell() {  // once the hand rests: a search for each of several quick strokes helps nobody
    clearTimeout(timer);
    timer = setTimeout(() => {
        if (stroke) return tell();
        told = isBlank() ? "" : canvas.toDataURL("image/png");
        props.value = told;
    }, QUIET);
}

function act(what) {
    done.push(what);
    undone = [];
    redraw();
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
        act({ kind: "clear" });
    },
};

function command(name) {
    commands[name]();
    redraw();
    show();
    tell();
}

function place(event) {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

function finish(event) {
    if (!stroke || event.pointerId !== stroke.pointer) return;
    act({ kind: "stroke", points: stroke.points, isErased: stroke.isErased });
    stroke = null;
    tell();
}

canvas.addEventListener("pointerdown", (event) => {
    if (stroke || event.button !== 0) return;  // a second finger, or the context menu
    canvas.setPointerCapture(event.pointerId);
    stroke = { pointer: event.pointerId, points: [place(event)], isErased: tool === "eraser" };
    draw.stroke(stroke);
});
canvas.addEventListener("pointermove", (event) => {
    if (!stroke || event.pointerId !== stroke.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) stroke.points.push(place(each));
    draw.stroke(stroke);
});
canvas.addEventListener("pointerup", finish);
canvas.addEventListener("pointercancel", finish);
element.addEventListener("click", (event) => {
    const { tool: chosen, do: name } = event.target.closest("button")?.dataset ?? {};
    if (chosen) tool = chosen;
    if (name) command(name);
    show();
});
element.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || !["z", "y"].includes(key)) return;
    event.preventDefault();
    command(key === "y" || event.shiftKey ? "redo" : "undo");
});
watch("value", () => {  // the server put a picture on the pad
    if (props.value === told) return;
    told = props.value || "";
    if (!told) return act({ kind: "clear" });
    const image = new Image();
    image.onload = () => act({ kind: "picture", image });
    image.src = told;
});
redraw();
canvas.dataset.ready = "yes";
