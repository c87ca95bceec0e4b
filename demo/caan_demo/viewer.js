// The viewer is a popover, so that the browser closes it by Escape or a click beside it and returns the focus.
const viewer = element.closest("#viewer");
viewer.popover = "auto";
viewer.setAttribute("role", "dialog");
viewer.setAttribute("aria-label", "Photo");

// The next photo is opened by a click on its result. `viewer.dataset.step` tells OPEN_VIEWER which button to focus. Gradio
// ignores clicks while a photo loads, so the click is repeated until the photo is shown.
const AGAIN_MS = 150, MAX_CLICKS = 100;
let wanted = null;

function show(button) {
    const isWaiting = wanted !== null;
    const next = (wanted ?? Number(button.dataset.at)) + Number(button.dataset.step);
    if (!document.querySelectorAll("#results button")[next]) return;
    viewer.dataset.step = button.dataset.step;
    wanted = next;
    if (!isWaiting) openWanted(MAX_CLICKS);
}

function openWanted(clicks) {
    const isShown = Number(element.querySelector("[data-at]")?.dataset.at) === wanted;
    if (isShown || clicks === 0 || !viewer.matches(":popover-open")) {
        wanted = null;
        return;
    }
    document.querySelectorAll("#results button")[wanted]?.click();
    setTimeout(openWanted, AGAIN_MS, clicks - 1);
}

element.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.close) viewer.hidePopover();
    if (button?.dataset.step) show(button);
    if (!button?.dataset.copy) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
});
viewer.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const button = step && element.querySelector(`[data-step="${step}"]:enabled`);
    if (button) show(button);
});
