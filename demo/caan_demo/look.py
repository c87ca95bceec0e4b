"""Style of the page: system fonts only, and a grid that fits a phone."""

import gradio as gr

# Scrolls to the explanation, which may be below the visible part of the page, once its picture has loaded.
SCROLL_TO_EXPLANATION = """
() => {
    const show = (attempts) => {
        const why = document.querySelector("#why img");
        if (why && why.complete && why.naturalWidth) why.scrollIntoView({behavior: "smooth", block: "nearest"});
        else if (attempts) setTimeout(show, 100, attempts - 1);
    };
    show(50);
}
"""

CSS = """
#search {
    display: grid; gap: 16px; align-items: start;
    grid-template: "query answer" auto "controls answer" 1fr / minmax(0, 2fr) minmax(0, 3fr);
}
#query { grid-area: query; }
#answer { grid-area: answer; }
#controls { grid-area: controls; }
#results .grid-wrap { max-height: none; padding-top: 2.2rem; }
#why .image-container { padding-top: 2.2rem; }
#results .grid-container { grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)) !important; }
#results .caption-label {
    left: 0; right: 0; bottom: 0; max-width: none; box-sizing: border-box; height: 2.9em; padding: 2px 6px;
    font-size: 0.72rem; line-height: 1.25; font-variant-numeric: tabular-nums; white-space: normal; overflow: hidden;
    overflow-wrap: anywhere; text-overflow: clip;
}
#status p { margin: 0.25rem 0; min-height: 1.5em; font-variant-numeric: tabular-nums; }
#status .error { color: #b42318; font-weight: 600; }
.dark #status .error { color: #ff8a80; }
@media (max-width: 640px) {
    /* results directly below the drawing */
    #search { grid-template: "query" auto "answer" auto "controls" auto / minmax(0, 1fr); }
    .gradio-container { padding: 8px !important; }
}
"""


def theme() -> gr.Theme:
    """Gradio's default theme without fonts from the web."""
    return gr.themes.Default(
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    )
