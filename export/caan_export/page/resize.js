// Resizes grey pictures and grids of numbers as Pillow does: the same filters, the same rounding.
const BITS = 22;  // of the fixed-point weights of 8-bit pictures

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const FILTERS = {  // by Pillow's number: [support, weight at a distance]
    1: [3, (x) => (x < 3 ? sinc(x) * sinc(x / 3) : 0)],
    2: [1, (x) => (x < 1 ? 1 - x : 0)],
    3: [2, (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0)],
};
export const BILINEAR = 2;

// For each of `to` pixels: where its sources start, and their weights.
function weights(from, to, filter) {
    const [support, weight] = FILTERS[filter];
    const scale = from / to, wider = Math.max(1, scale), reach = support * wider;
    return Array.from({ length: to }, (_, index) => {
        const centre = (index + 0.5) * scale;
        const start = Math.max(0, Math.trunc(centre - reach + 0.5));
        const end = Math.min(from, Math.trunc(centre + reach + 0.5));
        const values = [];
        let sum = 0;
        for (let at = start; at < end; at++) {
            const value = weight(Math.abs((at - centre + 0.5) * (1 / wider)));
            values.push(value);
            sum += value;
        }
        return [start, values.map((value) => (sum === 0 ? value : value / sum))];
    });
}

// Resizes along one axis; `stride` is the distance of neighbours along it, `other` that of neighbouring lines.
function along(source, target, plan, sides, lines, fixed) {
    plan.forEach(([start, values], index) => {
        for (let line = 0; line < lines; line++) {
            let place = line * sides.lineFrom + start * sides.stepFrom, sum = fixed ? 2 ** (BITS - 1) : 0;
            for (const value of values) {
                sum += source[place] * value;
                place += sides.stepFrom;
            }
            target[line * sides.lineTo + index * sides.stepTo] = fixed ? Math.floor(sum / 2 ** BITS) : sum;
        }
    });
    return target;
}

// `source` holds width x height numbers: Uint8ClampedArray for grey levels, Float32Array for others.
export function resize(source, width, height, newWidth, newHeight, filter = BILINEAR) {
    const fixed = source instanceof Uint8ClampedArray;
    const plan = (from, to) => {
        const planned = weights(from, to, filter);
        if (!fixed) return planned;
        const whole = (value) => Math.trunc(value * 2 ** BITS + (value < 0 ? -0.5 : 0.5));
        return planned.map(([start, values]) => [start, values.map(whole)]);
    };
    const Numbers = source.constructor;
    let picture = source;
    if (newWidth !== width) {
        const sides = { stepFrom: 1, lineFrom: width, stepTo: 1, lineTo: newWidth };
        picture = along(picture, new Numbers(newWidth * height), plan(width, newWidth), sides, height, fixed);
    }
    if (newHeight !== height) {
        const sides = { stepFrom: newWidth, lineFrom: 1, stepTo: newWidth, lineTo: 1 };
        picture = along(picture, new Numbers(newWidth * newHeight), plan(height, newHeight), sides, newWidth, fixed);
    }
    return picture;
}

// The nearest of the numbers of a grid for each pixel of a larger one.
export function enlarge(source, width, height, newWidth, newHeight) {
    const nearest = (from, to) => {
        let at = from / to / 2;
        return Array.from({ length: to }, () => {
            const place = Math.trunc(at);
            at += from / to;
            return Math.min(place, from - 1);
        });
    };
    const columns = nearest(width, newWidth), rows = nearest(height, newHeight);
    const target = new source.constructor(newWidth * newHeight);
    rows.forEach((row, y) => columns.forEach((column, x) => {
        target[y * newWidth + x] = source[row * width + column];
    }));
    return target;
}
