// Encodes drawings and searches the gallery, so that the page stays free for drawing.
import { prepare } from "./prepare.js";
import { cleanSketch } from "./sketch.js";
import { LateInteraction, fromHalf, search } from "./search.js";

const CANDIDATES = 100, MATCHES = 6, GPU_PATIENCE = 15_000;
const at = (file) => new URL(file, import.meta.url).href;  // the worker itself has the address of a blob
let settings, encoder, gallery, query;

class PageError extends Error {}

async function read(file) {
    const { bytes, sha256 } = settings.files[file];
    const response = await fetch(at(file)).catch(() => ({ ok: false, status: "no answer" }));
    if (!response.ok) throw new PageError(`${file} is missing (${response.status}). Copy the whole folder to the web host.`);
    const content = await response.arrayBuffer();
    const isSame = content.byteLength === bytes && (!crypto.subtle || (await hash(content)) === sha256);
    if (!isSame) throw new PageError(`${file} belongs to another gallery or model. Copy the whole folder again.`);
    return content;
}

async function hash(content) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// WebGPU if there is one, else WebAssembly.
async function open(model) {
    const session = async (script, wasm, provider) => {
        const ort = await import(`./runtime/${script}`);
        ort.env.wasm.wasmPaths = { wasm: at(`runtime/${wasm}`) };
        ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
        const opened = await ort.InferenceSession.create(model, { executionProviders: [provider] });
        return { ort, session: opened, device: provider, threads: ort.env.wasm.numThreads };
    };
    const { wasm, webgpu } = settings.runtime;
    if (await navigator.gpu?.requestAdapter().catch(() => null)) {
        try {
            const first = async () => {
                const found = await session(...webgpu, "webgpu");
                await run(found, new Uint8ClampedArray(settings.input.side ** 2).fill(255));
                return found;
            };
            const late = new Promise((_, reject) => setTimeout(reject, GPU_PATIENCE, new Error("It takes too long.")));
            return await Promise.race([first(), late]);  // WebGPU in software may take minutes
        } catch (error) {
            console.warn("WebGPU cannot run the model, so that WebAssembly does.", error);
        }
    }
    return session(...wasm, "wasm").catch(async (error) => {
        await Promise.all(wasm.map((file) => read(`runtime/${file}`)));  // names a file that is missing or damaged
        throw error;
    });
}

async function run({ ort, session }, grey) {
    const { side, scale, mean, std } = settings.input;
    const pixels = new Float32Array(3 * grey.length);
    for (let colour = 0; colour < 3; colour++) {
        const factor = Math.fround(scale / std[colour]), shift = Math.fround(-mean[colour] / std[colour]);
        for (let at = 0; at < grey.length; at++) pixels[colour * grey.length + at] = Math.fround(grey[at] * factor) + shift;
    }
    const outputs = await session.run({ pixel_values: new ort.Tensor("float32", pixels, [1, 3, side, side]) });
    return { global: outputs.global_embeds.data, local: outputs.local_embeds?.data };
}

// Browsers compile code while it runs, so that the first drawings would be slow.
async function warmUp() {
    const data = new Uint8ClampedArray(4 * 512 * 512).fill(255);
    for (let at = 200; at < 300; at++) data.fill(0, 4 * (512 * at + 200), 4 * (512 * at + 203));
    for (let turn = 0; turn < 5; turn++) {
        const query = await run(encoder, prepare(cleanSketch({ data, width: 512, height: 512 }, 0.08), settings.input));
        search(query, gallery, 1, CANDIDATES);
    }
}

const commands = {
    async load() {
        const response = await fetch(at("caan_web.json"), { cache: "no-cache" }).catch(() => null);
        if (!response?.ok) throw new PageError("caan_web.json is missing. Copy the whole folder to the web host.");
        settings = await response.json().catch(() => { throw new PageError("caan_web.json is damaged. Copy the whole folder again."); });
        const files = ["sketch_encoder.onnx", "gallery/global.bin", "gallery/names.json"];
        const [model, global, names] = await Promise.all(files.map(read));
        const extra = async (file) => (settings.files[file] ? read(file) : null);
        const [lowered, local] = await Promise.all(["gallery/lowered.bin", "gallery/local.bin"].map(extra));
        gallery = {
            global: fromHalf(new Uint16Array(global)),
            lowered: lowered && new Float32Array(lowered),
            late: local && new LateInteraction(settings.local, new Int8Array(local)),
            localWeight: settings.local?.weight ?? null,
        };
        encoder = await open(new Uint8Array(model));
        await warmUp();
        const { device, threads } = encoder, reranks = Boolean(local && settings.local.reranks);
        return { settings, names: JSON.parse(new TextDecoder().decode(names)), device, threads, explains: Boolean(local), reranks };
    },

    async search({ picture, count, rerank }) {
        const times = [performance.now()];
        const clean = cleanSketch(picture, settings.input.margin);
        if (!clean) return { isBlank: true };
        const grey = prepare(clean, settings.input);
        times.push(performance.now());
        const { global, local } = await run(encoder, grey);
        query = { global, local };
        times.push(performance.now());
        const results = search(query, gallery, count, rerank ? CANDIDATES : 0);
        times.push(performance.now());
        const [cleaned, encoded, found] = times.slice(1).map((time, at) => time - times[at]);
        return { results, seconds: { clean: cleaned / 1e3, encode: encoded / 1e3, search: found / 1e3 }, clean };
    },

    async clean({ picture, margin }) {
        const clean = cleanSketch(picture, margin);
        if (!clean) throw new PageError("The drawing is blank. Draw something in a colour that differs from the background.");
        return { clean };
    },

    async explain({ photo }) {
        return gallery.late.explain(query.local, photo, MATCHES);
    },

    // For tests: what the encoder sees, and its embeddings.
    async encode({ picture }) {
        const clean = cleanSketch(picture, settings.input.margin);
        const grey = clean && prepare(clean, settings.input);
        return { clean, grey, ...(grey && (await run(encoder, grey))) };
    },
};

self.onmessage = async ({ data: { id, command, ...given } }) => {
    try {
        self.postMessage({ id, answer: await commands[command](given) });
    } catch (error) {
        const sentence = error instanceof PageError ? error.message : `The search failed (${error.message}). Reload the page.`;
        self.postMessage({ id, error: sentence });
    }
};
