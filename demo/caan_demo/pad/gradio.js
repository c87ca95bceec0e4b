// Connects the pad with the component of gradio, whose value is the drawing.
const pad = createPad(element, { value: props.value || "", onChange: (value) => { props.value = value; save(); } });
watch("value", () => {
    pad.show(props.value || "");
    save();
});

// When the connection was lost, gradio reloads the page. The drawing is put on the pad and searched again.
const SAVED = "caan-drawing";
function save() {
    try {
        sessionStorage.setItem(SAVED, props.value || "");
    } catch { /* the browser has no storage, or none for a drawing of this size */ }
}
try {
    const drawing = sessionStorage.getItem(SAVED);
    if (drawing && performance.getEntriesByType("navigation")[0]?.type === "reload") {
        pad.show(drawing);
        props.value = drawing;
    }
} catch { /* as above */ }
