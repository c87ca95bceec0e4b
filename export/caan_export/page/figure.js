// Draws which regions of a drawing match which regions of a photo, as `caan search --explain` does.
const HEIGHT = 288, GAP = 48, MARGIN = 12, RADIUS = 10;
// Of Okabe and Ito, distinguishable with most kinds of colour blindness.
const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2"];

// The part [left, top, width, height] of a picture that the encoder sees, as shares; see `Preprocessing.seen`.
function seen(width, height, { fit, crop }) {
    if (!crop) return [0, 0, 1, 1];
    const shorter = Math.min(width, height);
    const size = Number.isInteger(fit) ? [(fit * width) / shorter, (fit * height) / shorter] : [...(fit ?? [height, width])].reverse();
    const x = crop / Math.trunc(size[0]), y = crop / Math.trunc(size[1]);
    return [(1 - x) / 2, (1 - y) / 2, x, y];
}

function heated(context, [left, top, width, height], heat, grid) {
    const largest = Math.max(...heat, 1e-9);
    heat.forEach((value, cell) => {
        context.fillStyle = `rgb(220 38 38 / ${Math.max(0, value / largest) * 0.45})`;
        const column = cell % grid, row = Math.trunc(cell / grid);
        context.fillRect(left + (column * width) / grid, top + (row * height) / grid, width / grid, height / grid);
    });
}

// `sketch` is a canvas, `photo` an image; both are drawn onto `canvas` with the answer of `LateInteraction.explain`.
export function drawExplanation(canvas, sketch, photo, { grid, heat, pairs }, input) {
    const scale = HEIGHT / Math.max(photo.naturalHeight, photo.naturalWidth / 2);
    const width = photo.naturalWidth * scale, height = photo.naturalHeight * scale;
    canvas.width = 2 * MARGIN + HEIGHT + GAP + width;
    canvas.height = 2 * MARGIN + HEIGHT;
    const context = canvas.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const places = {
        sketch: [MARGIN, MARGIN, HEIGHT, HEIGHT],
        photo: [MARGIN + HEIGHT + GAP, MARGIN + (HEIGHT - height) / 2, width, height],
    };
    context.drawImage(sketch, ...places.sketch);
    context.filter = "saturate(0.25)";  // so that its colours are not mistaken for heat
    context.drawImage(photo, ...places.photo);
    context.filter = "none";
    context.strokeStyle = "#c0c0c0";
    context.strokeRect(...places.sketch);
    const views = {};
    for (const [name, size] of [["sketch", [1, 1]], ["photo", [photo.naturalWidth, photo.naturalHeight]]]) {
        const [left, top, wide, high] = places[name], view = seen(...size, input);
        views[name] = [left + view[0] * wide, top + view[1] * high, view[2] * wide, view[3] * high];
        heated(context, views[name], heat[name], grid);
    }
    const boxOf = ([left, top, wide, high], cell) => (
        [left + ((cell % grid) * wide) / grid, top + (Math.trunc(cell / grid) * high) / grid, wide / grid, high / grid]
    );
    const marks = pairs.map(({ from, to }, index) => {
        const boxes = [boxOf(views.sketch, from), boxOf(views.photo, to)];
        const points = boxes.map(([left, top, wide, high]) => [left + wide / 2, top + high / 2]);
        points[1][0] += 2 * RADIUS * pairs.slice(0, index).filter((other) => other.to === to).length;
        return { boxes, points, number: index + 1, colour: COLOURS[index % COLOURS.length] };
    });
    for (const { boxes, points, colour } of marks.reverse()) {  // the match with the largest share on top
        for (const [style, thickness] of [["white", 4], [colour, 2]]) {
            Object.assign(context, { strokeStyle: style, lineWidth: thickness });
            context.beginPath();
            context.moveTo(...points[0]);
            context.lineTo(...points[1]);
            context.stroke();
        }
        for (const box of boxes) context.strokeRect(...box);
    }
    Object.assign(context, { font: "13px system-ui, sans-serif", textAlign: "center", textBaseline: "middle", lineWidth: 1 });
    for (const { points, number, colour } of marks) {
        for (const [x, y] of points) {
            context.beginPath();
            context.arc(x, y, RADIUS, 0, 2 * Math.PI);
            Object.assign(context, { fillStyle: colour, strokeStyle: "white" });
            context.fill();
            context.stroke();
            context.fillStyle = "#202020";
            context.fillText(number, x, y);
        }
    }
}
