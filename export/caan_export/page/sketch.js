// Converts any drawing to dark lines on a white square, as `caan_hf/sketches_caan.py` does, with `paper_caan.py` and
// `sketch_parts_caan.py`: the same steps, constants and names. See docs/sketches.md for the method.
import { enlarge, resize } from "./resize.js";

const PAPER_CELLS = 64, SAMPLES = 5, PAPER_TOLERANCE = 24, PAPER_RADIUS = 4, PAPER_ROUNDS = 24, EVEN_PAPER = 12;
const SMALL_PAGE = 0.1, EVEN_BORDER = 0.7, MIN_LINES = 0.002, PAPER_FILL = 0.7;
const WORKING_SIDE = 1024, MIN_CONTRAST = 24, LINE_CONTRAST = 0.45, FAINT_CONTRAST = 0.3;
const PART_CELLS = 128, BORDER_SHARE = 0.3, FRAME_SPAN = 0.75, FRAME_BAND = 0.12, MIN_PART = 0.05;
const HAND_SHARE = 0.03, HAND_DRAWING = 0.2, FILLED_CELLS = 4, DOT_REACH = 0.75, SPECK_LENGTH = 0.1, SPECK_INK = 0.01;
const MIN_LINE = 0.008, MIN_CROP_SHARE = 1 / 8;

const { fround } = Math;

// Python's rounding: halves to the even number.
function round(value) {
    const rounded = Math.round(value);
    return Math.abs(value % 1) === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}

const range = (count) => Array.from({ length: count }, (_, index) => index);

function greatest(values) {
    let most = -Infinity;
    for (let at = 0; at < values.length; at++) if (values[at] > most) most = values[at];
    return most;
}

function least(values) {
    let fewest = Infinity;
    for (let at = 0; at < values.length; at++) if (values[at] < fewest) fewest = values[at];
    return fewest;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// numpy's `quantile` of numbers in any order.
function quantile(given, share) {
    const values = given instanceof Float64Array ? given : new Float64Array(given);
    const place = share * (values.length - 1), low = Math.floor(place), fewest = least(values);
    let equal = 0;
    for (let at = 0; at < values.length; at++) equal += values[at] === fewest;
    if (low + 1 < equal) return fewest;  // without sorting the pixels of a white page
    const sorted = values.slice().sort();
    return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (place - low);
}
const median = (values) => quantile(values, 0.5);

// A picture's `data` is RGBA. Returns { side, grey }, or null if it is blank.
export function cleanSketch(picture, margin) {
    const ink = findInk(picture);
    if (!ink) return null;
    const shortest = round(Math.max(ink.width, ink.height) * MIN_CROP_SHARE);
    return square(drawnLines(ink, shortest), shortest, margin);
}

function findInk(picture) {
    const { contrast, paper, width, height } = contrastFromPaper(picture);
    const strongest = greatest(contrast);
    if (strongest < MIN_CONTRAST) return null;
    const [middle, spread] = paper ? noiseOf(contrast, paper, width, height) : [0, 0];
    const limit = fround(Math.max(MIN_CONTRAST, Math.min(middle + 6 * spread, strongest / 2)));
    const found = divide(above(contrast, limit), width, height);
    for (let place = found.around.indexOf(1); place >= 0; place = found.around.indexOf(1, place + 1)) contrast[place] = 0;
    const lines = above(contrast, fround(LINE_CONTRAST * strength(contrast, found.drawing)));
    for (let place = 0; place < lines.length; place++) lines[place] &= found.drawing[place];
    const { drawing } = divide(lines, width, height);
    return { contrast, drawing, width, height, noise: Math.min(middle + 3 * spread, strongest / 4) };
}

function above(values, limit) {
    const found = new Uint8Array(values.length);
    for (let place = 0; place < values.length; place++) found[place] = values[place] >= limit;
    return found;
}

function chosen(values, mask) {
    const found = new Float64Array(values.length);
    let count = 0;
    for (let place = 0; place < values.length; place++) if (mask[place]) found[count++] = values[place];
    return found.subarray(0, count);
}

// The number of the block of `step` pixels in which each pixel of a line lies.
const blocks = (length, step) => Uint16Array.from(range(length), (at) => Math.trunc(at / step));

// Grey levels from the paper, and the cells of paper; without these for lines on transparent paper.
function contrastFromPaper({ data, width, height }) {
    const planes = flatten(data, width * height);
    const paper = findPaper(planes, width, height);
    const found = { ...contrastOf(planes, paper, width, height), paper };
    if (greatest(found.contrast) >= MIN_CONTRAST) return found;
    const alpha = new Float32Array(width * height);
    for (let place = 0; place < alpha.length; place++) alpha[place] = data[4 * place + 3];
    const lowest = least(alpha);
    if (lowest === 255) return found;
    return { contrast: alpha.map((value) => value - lowest), paper: null, width, height };
}

// Red, green and blue on white; one plane if all are equal.
function flatten(data, count) {
    let place = 0;
    const isPlain = (at) => data[at] === data[at + 1] && data[at] === data[at + 2] && data[at + 3] === 255;
    while (place < count && isPlain(4 * place)) place++;
    const planes = range(place === count ? 1 : 3).map((colour) => {
        const plane = new Uint8Array(count);
        for (let place = 0; place < count; place++) {
            const alpha = data[4 * place + 3];
            const sum = 128 * (data[4 * place + colour] * alpha + 255 * (255 - alpha)) + 16384;
            plane[place] = alpha === 255 ? data[4 * place + colour] : ((sum >> 8) + sum) >> 15;
        }
        return plane;
    });
    const isGrey = planes.slice(1).every((plane) => plane.every((value, at) => value === planes[0][at]));
    return isGrey ? planes.slice(0, 1) : planes;
}

// A grid over the picture: its size, `colours` (planes of cells) and `isPaper`.
function findPaper(planes, width, height) {
    const longer = Math.max(width, height);
    const [rows, columns] = [height, width].map((length) => Math.max(1, round((length * PAPER_CELLS) / longer)));
    const spread = (length, count) => range(count).map((at) => Math.trunc(((at + 0.5) * length) / count));
    const y = spread(height, rows * SAMPLES), x = spread(width, columns * SAMPLES);
    const samples = planes.map((plane) => range(rows * columns).map((cell) => {
        const top = Math.trunc(cell / columns) * SAMPLES, left = (cell % columns) * SAMPLES;
        const found = new Float64Array(SAMPLES ** 2);
        for (let at = 0; at < found.length; at++) {
            found[at] = plane[y[top + Math.trunc(at / SAMPLES)] * width + x[left + (at % SAMPLES)]];
        }
        return found;
    }));
    const grid = { rows, columns, cells: samples.map((plane) => plane.map(median)), samples };
    const edge = planes.map((plane) => [
        ...plane.subarray(0, width), ...plane.subarray((height - 1) * width),
        ...range(height).flatMap((row) => [plane[row * width], plane[(row + 1) * width - 1]]),
    ]);
    const page = findPage(grid, edge);
    const onPaper = page.colours.map((plane) => plane.filter((_, cell) => page.isPaper[cell]));
    if (onPaper[0].length && onPaper.every((plane) => greatest(plane) - least(plane) < EVEN_PAPER)) {
        page.colours = grid.cells.map((plane) => plane.fill(median(plane.filter((_, cell) => page.isPaper[cell]))));
    }
    return { rows, columns, ...page };
}

// Of the colours that may be the paper's, the one of the page that was drawn on.
function findPage(grid, edge) {
    const { cells } = grid;
    const whole = cells.map(median), border = edge.map(median);
    const page = grown(grid, whole);
    if (whole.some((value, colour) => Math.abs(value - border[colour]) > PAPER_TOLERANCE)) {
        const isEven = edge[0].map((_, at) => edge.every((plane, colour) => Math.abs(plane[at] - border[colour]) <= 2));
        const isAround = mean(border) > mean(whole) && mean(isEven.map(Number)) > EVEN_BORDER;
        const isShape = fill(grid, page.isPaper) < PAPER_FILL || (isAround && !hasLines(grid, page.isPaper));
        return isShape ? grown(grid, border) : page;
    }
    const brightness = cells[0].map((_, cell) => mean(cells.map((plane) => plane[cell])));
    const bright = quantile(brightness, 1 - SMALL_PAGE);
    const light = cells.map((plane) => median(plane.filter((_, cell) => brightness[cell] >= bright)));
    if (mean(light) - mean(whole) > PAPER_TOLERANCE) {
        const other = grown(grid, light);
        const isApart = !other.isPaper.some((value, cell) => value && page.isPaper[cell]);
        if (isApart && fill(grid, other.isPaper) >= PAPER_FILL && hasLines(grid, other.isPaper)) return other;
    }
    return page;
}

// Start with the cells of one colour, and add those that differ little from the paper around them.
function grown({ rows, columns, cells }, start) {
    let colours = cells.map((plane, colour) => plane.map(() => start[colour]));
    const near = () => Uint8Array.from(cells[0], (_, cell) => (
        cells.every((plane, colour) => Math.abs(plane[cell] - colours[colour][cell]) <= PAPER_TOLERANCE)
    ));
    let isPaper = near();
    for (let turn = 0; turn < PAPER_ROUNDS; turn++) {
        const few = 1e-6, count = windowSum(isPaper, rows, columns);
        colours = cells.map((plane, colour) => {
            const total = windowSum(plane.map((value, cell) => value * isPaper[cell]), rows, columns);
            return total.map((value, cell) => (value + few * colours[colour][cell]) / (count[cell] + few));
        });
        const before = isPaper;
        isPaper = near();
        if (before.every((value, cell) => value === isPaper[cell])) break;
    }
    return { colours, isPaper };
}

// Sums over windows of 2 PAPER_RADIUS + 1 cells a side.
function windowSum(values, rows, columns) {
    const along = (source, count, step, lines, jump) => {
        const sums = new Float64Array(source.length);
        for (let line = 0; line < lines; line++) {
            for (let at = 0; at < count; at++) {
                const last = Math.min(at + PAPER_RADIUS, count - 1);
                for (let from = Math.max(at - PAPER_RADIUS, 0); from <= last; from++) {
                    sums[line * jump + at * step] += source[line * jump + from * step];
                }
            }
        }
        return sums;
    };
    return along(along(values, rows, columns, columns, 1), columns, 1, rows, columns);
}

// The share of the rectangle around cells that they fill.
function fill({ rows, columns }, cells) {
    const box = boxOf(cells, columns, rows);
    const count = cells.reduce((sum, value) => sum + value, 0);
    return count && count / ((box.right - box.left) * (box.bottom - box.top));
}

// Whether there are lines on the paper, and no filled shape.
function hasLines({ rows, columns, samples }, isPaper) {
    const isPage = new Uint8Array(isPaper.length).fill(1);  // cells with paper on all four sides
    const sweep = (places) => {
        let seen = 0;
        for (const place of places) {
            seen |= isPaper[place];
            isPage[place] &= seen;
        }
    };
    for (let row = 0; row < rows; row++) {
        const places = range(columns).map((column) => row * columns + column);
        sweep(places);
        sweep(places.reverse());
    }
    for (let column = 0; column < columns; column++) {
        const places = range(rows).map((row) => row * columns + column);
        sweep(places);
        sweep(places.reverse());
    }
    const inner = eroded(isPage, rows, columns, 1);
    const holes = isPage.map((value, cell) => value && !isPaper[cell]);
    if (!inner.includes(1) || eroded(holes, rows, columns, FILLED_CELLS / 2).includes(1)) return false;
    const inside = samples.map((plane) => plane.filter((_, cell) => inner[cell]).flatMap((cell) => [...cell]));
    const middle = inside.map(median);
    const differs = inside[0].filter((_, at) => (
        inside.some((plane, colour) => Math.abs(plane[at] - middle[colour]) > 2 * PAPER_TOLERANCE)
    ));
    return differs.length / inside[0].length > MIN_LINES;
}

// Cells whose neighbours on all four sides are set, repeatedly; nothing lies outside.
function eroded(cells, rows, columns, times) {
    for (let turn = 0; turn < times; turn++) {
        const given = cells;
        cells = given.map((value, cell) => {
            const row = Math.trunc(cell / columns), column = cell % columns;
            const isInside = row > 0 && column > 0 && row < rows - 1 && column < columns - 1;
            return isInside && value && given[cell - 1] && given[cell + 1] && given[cell - columns] && given[cell + columns];
        });
    }
    return cells;
}

// Difference from the paper in grey levels, the largest of all colours; reduced to the working size.
function contrastOf(planes, paper, width, height) {
    const step = Math.ceil(Math.max(width, height) / WORKING_SIDE);
    const small = { width: Math.ceil(width / step), height: Math.ceil(height / step) };
    const contrast = new Float32Array(small.width * small.height), row = blocks(height, step), column = blocks(width, step);
    planes.forEach((plane, colour) => {
        const cells = Float32Array.from(paper.colours[colour]);
        const isEven = cells.every((value) => value === cells[0]);
        const local = isEven ? new Float32Array(contrast.length).fill(cells[0])
            : resize(cells, paper.columns, paper.rows, small.width, small.height);
        for (let y = 0; y < height; y++) {
            for (let x = 0; x < width; x++) {
                const place = row[y] * small.width + column[x], difference = Math.abs(plane[y * width + x] - local[place]);
                if (difference > contrast[place]) contrast[place] = difference;
            }
        }
    });
    return { contrast, ...small };
}

// Contrast of the paper itself: its median, and the distance of the upper quartile from it.
function noiseOf(contrast, { isPaper, rows, columns }, width, height) {
    const onPaper = enlarge(isPaper, columns, rows, width, height);
    let even = 0, count = 0;
    for (let place = 0; place < onPaper.length; place++) {
        count += onPaper[place];
        even += onPaper[place] && contrast[place] === 0;
    }
    if (even > 0.75 * count + 1 || !count) return [0, 0];  // without sorting the pixels of a white page
    const values = chosen(contrast, onPaper);
    const [middle, upper] = [0.5, 0.75].map((share) => quantile(values, share));
    return [middle, upper - middle];
}

const strength = (contrast, drawing) => quantile(chosen(contrast, drawing), 0.9);

// Divides lines into the drawing and its surroundings, such as a desk or a frame, and drops specks.
function divide(lines, width, height) {
    const step = Math.ceil(Math.max(width, height) / PART_CELLS);
    const columns = Math.ceil(width / step), rows = Math.ceil(height / step);
    const ink = new Uint32Array(rows * columns), row = blocks(height, step), column = blocks(width, step);
    const cellOf = (place) => row[Math.trunc(place / width)] * columns + column[place % width];
    for (let place = lines.indexOf(1); place >= 0; place = lines.indexOf(1, place + 1)) ink[cellOf(place)]++;
    const { partOf, parts } = measured(ink, rows, columns);
    if (!parts.length) return { drawing: lines, around: new Uint8Array(lines.length) };
    for (const part of parts) part.isAround = part.borderShare >= BORDER_SHARE || part.isFrame;
    if (!parts.some((part) => !part.isAround && part.length >= MIN_PART)) for (const part of parts) part.isAround = false;
    markHands(parts);
    markSpecks(parts);
    const around = new Uint8Array(lines.length), drawing = new Uint8Array(lines.length);
    const isDrawn = parts.map((part) => !part.isAround && !part.isSpeck);
    for (let place = lines.indexOf(1); place >= 0; place = lines.indexOf(1, place + 1)) {
        drawing[place] = isDrawn[partOf[cellOf(place)] - 1];
    }
    if (parts.some((part) => part.isAround)) {
        const isAround = Uint8Array.from(partOf, (number) => number && parts[number - 1].isAround);
        for (let place = 0; place < around.length; place++) around[place] = isAround[cellOf(place)];
    }
    return { drawing, around };
}

// The 8-connected parts of cells with so many pixels of ink. `partOf` numbers them from 1; 0 is no ink.
function measured(ink, rows, columns) {
    const partOf = new Uint32Array(ink.length), parts = [];
    const core = eroded(Uint8Array.from(ink, (value) => value > 0), rows, columns, FILLED_CELLS);
    for (let start = 0; start < ink.length; start++) {
        if (!ink[start] || partOf[start]) continue;
        const number = parts.length + 1, cells = [start];
        partOf[start] = number;
        for (let next = 0; next < cells.length; next++) {
            const row = Math.trunc(cells[next] / columns), column = cells[next] % columns;
            for (let y = Math.max(0, row - 1); y <= Math.min(rows - 1, row + 1); y++) {
                for (let x = Math.max(0, column - 1); x <= Math.min(columns - 1, column + 1); x++) {
                    const cell = y * columns + x;
                    if (!ink[cell] || partOf[cell]) continue;
                    partOf[cell] = number;
                    cells.push(cell);
                }
            }
        }
        parts.push(measuredPart(cells, ink, core, rows, columns));
    }
    return { partOf, parts };
}

function measuredPart(cells, ink, core, rows, columns) {
    const part = { top: rows, left: columns, bottom: 0, right: 0, weight: 0, last: greatest(cells) };
    let atBorder = 0, inCore = 0;
    const places = cells.map((cell) => [Math.trunc(cell / columns), cell % columns]);
    places.forEach(([row, column], index) => {
        part.top = Math.min(part.top, row);
        part.left = Math.min(part.left, column);
        part.bottom = Math.max(part.bottom, row + 1);
        part.right = Math.max(part.right, column + 1);
        part.weight += ink[cells[index]];
        atBorder += row === 0 || column === 0 || row === rows - 1 || column === columns - 1;
        inCore += core[cells[index]];
    });
    const { top, left, bottom, right } = part, height = bottom - top, width = right - left;
    part.length = Math.max(height, width) / Math.max(rows, columns);
    part.borderShare = atBorder / (2 * (rows + columns));
    part.isFilled = inCore >= 0.5 * cells.length;
    const isRing = places.every(([row, column]) => Math.min(
        Math.min(row - top, bottom - 1 - row) / height, Math.min(column - left, right - 1 - column) / width,
    ) <= FRAME_BAND);
    part.isFrame = isRing && height >= FRAME_SPAN * rows && width >= FRAME_SPAN * columns;
    return part;
}

// A hand is filled, and reaches from the border into a picture whose other parts are lines.
function markHands(parts) {
    const isHand = (part) => !part.isAround && part.isFilled && part.borderShare >= HAND_SHARE;
    const others = parts.filter((part) => !part.isAround && !isHand(part));
    if (!others.length) return;
    const drawn = others.reduce((most, part) => (
        part.weight > most.weight || (part.weight === most.weight && part.last < most.last) ? part : most
    ));
    if (drawn.isFilled || drawn.length < HAND_DRAWING) return;
    for (const hand of parts.filter(isHand)) hand.isAround = true;
}

// Specks are much lighter than the drawing, or short and far from it. Eyes are heavier than specks, and near.
function markSpecks(parts) {
    const rest = parts.filter((part) => !part.isAround);
    const heaviest = greatest(rest.map((part) => part.weight)), longest = greatest(rest.map((part) => part.length));
    const isLight = (part) => part.weight < SPECK_INK * heaviest;
    for (const part of rest) part.isSpeck = isLight(part) || part.length < SPECK_LENGTH * longest;
    const drawing = rest.filter((part) => !part.isSpeck);
    if (!drawing.length) return;
    const top = least(drawing.map((part) => part.top)), left = least(drawing.map((part) => part.left));
    const bottom = greatest(drawing.map((part) => part.bottom)), right = greatest(drawing.map((part) => part.right));
    const reach = DOT_REACH * Math.max(bottom - top - 1, right - left - 1);
    for (const part of rest) {
        const isNear = part.top >= top - reach && part.left >= left - reach
            && part.bottom <= bottom + reach && part.right <= right + reach;
        part.isSpeck &&= isLight(part) || !isNear;
    }
}

// The lines in the drawing's box as grey levels: black ink on white paper, none thinner than MIN_LINE.
function drawnLines(ink, shortest) {
    const box = boxOf(ink.drawing, ink.width, ink.height);
    const width = box.right - box.left, height = box.bottom - box.top;
    const full = fround(strength(ink.contrast, ink.drawing) - ink.noise);
    const dark = new Float32Array(width * height);
    for (let place = 0; place < dark.length; place++) {
        const from = (box.top + Math.trunc(place / width)) * ink.width + box.left + (place % width);
        const value = Math.min(1, Math.max(0, fround(fround(ink.contrast[from] - fround(ink.noise)) / full)));
        dark[place] = Math.min(value, 3 * fround(Math.max(0, value - fround(FAINT_CONTRAST))));
    }
    const lines = { grey: Uint8ClampedArray.from(dark, (value) => round(fround(255 * fround(1 - value)))), width, height };
    const thin = MIN_LINE * Math.max(width, height, shortest) - lineWidth(dark.map((value) => value >= 0.5), width, height);
    return thin > 0 ? thickened(lines, Math.max(1, round(thin / 2))) : lines;
}

// Mean width of lines of all directions: 8 / pi times their area by their edges.
function lineWidth(lines, width, height) {
    let area = 0, edges = 0;
    for (let y = 0; y <= height; y++) {
        for (let x = 0; x <= width; x++) {
            const here = y < height && x < width ? lines[y * width + x] : 0;
            const above = y > 0 && x < width ? lines[(y - 1) * width + x] : 0;
            const before = x > 0 && y < height ? lines[y * width + x - 1] : 0;
            area += here;
            edges += (here !== above) + (here !== before);
        }
    }
    return ((8 / Math.PI) * area) / Math.max(1, edges);
}

// The darkest of the pixels around each one, on a canvas that is larger by `more` on each side.
function thickened({ grey, width, height }, more) {
    const wide = width + 2 * more, high = height + 2 * more;
    const across = new Uint8ClampedArray(wide * height).fill(255), target = new Uint8ClampedArray(wide * high).fill(255);
    for (let y = 0; y < height; y++) {
        for (let x = 0; x < wide; x++) {
            const last = Math.min(x, width - 1);
            for (let from = Math.max(0, x - 2 * more); from <= last; from++) {
                across[y * wide + x] = Math.min(across[y * wide + x], grey[y * width + from]);
            }
        }
    }
    for (let y = 0; y < high; y++) {
        for (let from = Math.max(0, y - 2 * more); from <= Math.min(y, height - 1); from++) {
            for (let x = 0; x < wide; x++) {
                target[y * wide + x] = Math.min(target[y * wide + x], across[from * wide + x]);
            }
        }
    }
    return { grey: target, width: wide, height: high };
}

// Grey levels in the middle of a white square.
function square({ grey, width, height }, shortest, margin) {
    const longer = Math.max(width, height, shortest), side = longer + 2 * round(longer * margin);
    const target = new Uint8ClampedArray(side * side).fill(255);
    const top = Math.trunc((side - height) / 2), left = Math.trunc((side - width) / 2);
    for (let y = 0; y < height; y++) {
        target.set(grey.subarray(y * width, (y + 1) * width), (top + y) * side + left);
    }
    return { side, grey: target };
}

function boxOf(pixels, width, height) {
    const box = { top: height, left: width, bottom: 0, right: 0 };
    for (let place = 0; place < pixels.length; place++) {
        if (!pixels[place]) continue;
        const y = Math.trunc(place / width), x = place % width;
        box.top = Math.min(box.top, y);
        box.left = Math.min(box.left, x);
        box.bottom = Math.max(box.bottom, y + 1);
        box.right = Math.max(box.right, x + 1);
    }
    return box;
}
