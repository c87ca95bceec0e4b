"""How the page looks: system fonts alone, a grid that fits a phone."""

import gradio as gr

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
#results .caption-label { font-variant-numeric: tabular-nums; }
#status p { margin: 0.25rem 0; min-height: 1.5em; font-variant-numeric: tabular-nums; }
#status .complaint { color: #b42318; font-weight: 600; }
.dark #status .complaint { color: #ff8a80; }
@media (max-width: 640px) {
    /* what was found right below what was drawn */
    #search { grid-template: "query" auto "answer" auto "controls" auto / minmax(0, 1fr); }
    #results .grid-container { grid-template-columns: repeat(2, 1fr) !important; }
    .gradio-container { padding: 8px !important; }
}
"""


def theme() -> gr.Theme:
    """Gradio's own, without its fonts from the web."""
    return gr.themes.Default(
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    )
