// Keeps the files of the page for use without a network, and refuses requests to other servers.
const VERSION = "<!-- version -->", FILES = [/* files */];
const SCOPE = `caan ${self.registration.scope} `, NAME = SCOPE + VERSION;

self.addEventListener("install", (event) => {
    const files = FILES.map((file) => new Request(file, { cache: "no-cache" }));
    event.waitUntil(caches.open(NAME).then((kept) => kept.addAll(files)));
});

self.addEventListener("activate", (event) => {
    const old = caches.keys().then((names) => names.filter((name) => name.startsWith(SCOPE) && name !== NAME));
    event.waitUntil(old.then((names) => Promise.all(names.map((name) => caches.delete(name)))).then(() => clients.claim()));
});

async function answer(request) {
    const kept = await caches.open(NAME);
    const found = await kept.match(request.mode === "navigate" ? "./" : request, { ignoreSearch: true });
    if (found) return found;
    const response = await fetch(request);
    if (response.status === 200) await kept.put(request, response.clone());
    return response;
}

self.addEventListener("fetch", (event) => {
    const { request } = event, url = new URL(request.url);
    if (!url.href.startsWith(self.registration.scope)) return event.respondWith(Response.error());
    if (request.method === "GET") event.respondWith(answer(request));
});
