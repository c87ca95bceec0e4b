// The page: the pad, the results after each stroke, and the explanation of a result. The worker does the computing.
import { createPad } from "./pad.js";
import { drawExplanation } from "./figure.js";

const START = "Draw one thing, large and with few strokes. The results are updated after each stroke.";
const MAX_SIDE = 1024, MARGIN = 0.1, PHOTOS_PER_FOLDER = 1000;
const find = (selector) => document.querySelector(selector);
const canvas = find("#pad canvas");
let settings = null, names = [], explains = false, clean = null;

function show(text, isError = false) {
    find("#status").textContent = isError ? "" : text;
    find("#error").textContent = isError ? text : "";
    find("#error").hidden = !isError;
}

// A worker made from a blob has the Content-Security-Policy of this page; one made from a file has none.
const start = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
const worker = new Worker(URL.createObjectURL(new Blob([start], { type: "text/javascript" })), { type: "module" });
const asked = new Map();
let number = 0;

export function ask(command, given = {}) {
    return new Promise((resolve, reject) => {
        asked.set(++number, { resolve, reject });
        worker.postMessage({ id: number, command, ...given });
    });
}
worker.onmessage = ({ data: { id, answer, error } }) => {
    const { resolve, reject } = asked.get(id);
    asked.delete(id);
    if (error) reject(new Error(error));
    else resolve(answer);
};
worker.onerror = () => show("The search cannot start: a file of this page is missing. Copy the whole folder to the web host.", true);

const photoOf = (photo) => `photos/${String(Math.trunc(photo / PHOTOS_PER_FOLDER)).padStart(3, "0")}/${photo}.jpg`;

function showResults(results) {
    const items = results.map(({ photo, score, fused }, index) => {
        const item = document.createElement("li"), button = document.createElement("button");
        const caption = document.createElement("span");
        button.type = "button";
        button.setAttribute("aria-disabled", !explains);
        if (settings.photos.side) {
            const image = document.createElement("img");
            Object.assign(image, { src: photoOf(photo), alt: "" });
            button.append(image);
        }
        caption.textContent = `${index + 1}. ${(fused ?? score).toFixed(2)}\n${names[photo]}`;
        button.append(caption);
        if (explains) button.addEventListener("click", () => explain(photo));
        item.append(button);
        return item;
    });
    find("#results").replaceChildren(...items);
}

const pixelsOf = (drawn) => drawn.getContext("2d").getImageData(0, 0, drawn.width, drawn.height);

// Of the drawings that change during a search, only the newest is searched next.
let isSearching = false, isWaiting = false, shown = null;
async function search(picture = pixelsOf(canvas)) {
    shown = picture;
    isWaiting = isSearching;
    if (!settings || isSearching) return;
    isSearching = true;
    try {
        const began = performance.now();
        const given = { picture, count: Number(find("#count").value), rerank: find("#rerank input").checked && !find("#rerank").hidden };
        const answer = await ask("search", given);
        find("#why").hidden = true;
        clean = answer.clean;
        showResults(answer.results ?? []);
        const stages = Object.entries(answer.seconds ?? {}).map(([stage, seconds]) => `${stage} ${Math.round(1e3 * seconds)}`);
        const total = Math.round(performance.now() - began);
        show(answer.isBlank ? START : `${answer.results.length} of ${names.length.toLocaleString("en")} photos in ${total} ms (${stages.join(", ")})`);
    } catch (error) {
        show(error.message, true);
    }
    isSearching = false;
    if (isWaiting) await search(shown);
}

async function explain(photo) {
    try {
        const image = new Image();
        image.src = photoOf(photo);
        const [answer] = await Promise.all([ask("explain", { photo }), image.decode()]);
        find("#why-title").textContent = `Why ${names[photo]}`;
        find("#why canvas").setAttribute("aria-label", `${answer.pairs.length} numbered regions of the drawing, each joined to the region of the photo that it matches`);
        drawExplanation(find("#why canvas"), canvasOf(clean), image, answer, settings.input);
        find("#why").hidden = false;
        find("#why").scrollIntoView({ behavior: "smooth", block: "nearest" });
    } catch (error) {
        show(`${names[photo]}: the photo cannot be loaded (${error.message})`, true);
    }
}

function canvasOf({ side, grey }) {
    const drawn = Object.assign(document.createElement("canvas"), { width: side, height: side });
    const data = new ImageData(side, side);
    grey.forEach((level, at) => data.data.set([level, level, level, 255], 4 * at));
    drawn.getContext("2d").putImageData(data, 0, 0);
    return drawn;
}

function resized(source, width, height) {
    const drawn = Object.assign(document.createElement("canvas"), { width, height });
    const context = drawn.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(source, 0, 0, width, height);
    return drawn;
}

async function read(file) {
    const bitmap = await createImageBitmap(file).catch(() => { throw new Error(`${file.name}: not a picture that can be read.`); });
    const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
    return pixelsOf(resized(bitmap, width, height));
}

// Without a pause: the worker is free for the newest drawing as soon as it has the results of the one before.
const pad = createPad(find("#pad"), { onChange: () => search(), pause: 0 });

async function upload(file) {
    try {
        const { clean: drawing } = await ask("clean", { picture: await read(file), margin: MARGIN });
        const drawn = resized(canvasOf(drawing), canvas.width, canvas.height);
        pad.show(drawn.toDataURL("image/png"));
        search(pixelsOf(drawn));  // the pad shows the picture after it is decoded
    } catch (error) {
        show(error.message, true);
    }
}

// Fetches the files of the page, and the photos if there are few, so that the service worker stores them.
async function keep(used) {
    const workers = navigator.serviceWorker;
    if (!workers) return;
    await workers.register("offline.js");
    await workers.ready;
    if (!workers.controller) await new Promise((resolve) => workers.addEventListener("controllerchange", resolve, { once: true }));
    const photos = settings.photos.keep ? names.map((_, photo) => photoOf(photo)) : [];
    const files = [...used, ...photos];
    for (let at = 0; at < files.length; at += 8) await Promise.all(files.slice(at, at + 8).map((file) => fetch(file)));
    find("#offline").textContent = settings.photos.keep ? "This page now works offline." : "This page now works offline, with the photos that it has shown.";
}

async function open() {
    if (typeof WebAssembly !== "object") throw new Error("This browser has no WebAssembly. Use a newer browser.");
    show("Loading the model and the photos ...");
    const opened = await ask("load");
    ({ settings, names, explains } = opened);
    explains &&= settings.photos.side > 0;
    find("#rerank").hidden = !opened.reranks;
    if (explains) find("#results").setAttribute("aria-label", "Results, best first. Select one to see why.");
    const threads = opened.threads > 1 ? `, ${opened.threads} threads` : "";
    find("#device").textContent = opened.device === "webgpu" ? "It uses WebGPU." : `It uses WebAssembly${threads}.`;
    show(START);
    document.documentElement.dataset.ready = "yes";
    if (shown) search(shown);
    keep(settings.runtime[opened.device].map((file) => `runtime/${file}`)).catch((error) => console.warn("Not kept for offline use.", error));
}

find("#count").addEventListener("input", ({ target }) => {
    find("output").textContent = target.value;
    if (shown) search(shown);
});
find("#rerank input").addEventListener("change", () => shown && search(shown));
find("#close").addEventListener("click", () => { find("#why").hidden = true; });
find("#upload input").addEventListener("change", ({ target }) => {
    if (target.files.length) upload(target.files[0]);
    target.value = "";
});
open().catch((error) => show(error.message, true));
