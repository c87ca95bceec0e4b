// Connects the pad with the component of gradio, whose value is the drawing.
const pad = createPad(element, { value: props.value || "", onChange: (value) => { props.value = value; } });
watch("value", () => pad.show(props.value || ""));
