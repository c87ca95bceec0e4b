// The viewer is a popover, so that the browser closes it by Escape or a click beside it and returns the focus.
const viewer = element.closest("#viewer");
viewer.popover = "auto";
viewer.setAttribute("role", "dialog");
viewer.setAttribute("aria-label", "Photo");

// The next photo is opened as by a click on the results; the step is kept for the focus, which follows its button.
function show(button) {
    viewer.dataset.step = button.dataset.step;
    document.querySelectorAll("#results button")[Number(button.dataset.at) + Number(button.dataset.step)]?.click();
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
