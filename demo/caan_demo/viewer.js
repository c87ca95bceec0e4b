// The viewer is a popover, so that the browser closes it by Escape or a click beside it and returns the focus.
const viewer = element.closest("#viewer");
viewer.popover = "auto";
viewer.setAttribute("role", "dialog");
viewer.setAttribute("aria-label", "Photo");
element.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.close) viewer.hidePopover();
    if (!button?.dataset.copy) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
});
