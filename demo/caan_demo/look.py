"""How the page looks: system fonts alone, a grid that fits a phone."""

import gradio as gr

CSS = """
#results .grid-wrap { max-height: none; padding-top: 2.2rem; }
#why .image-container { padding-top: 2.2rem; }
#results .caption-label { font-variant-numeric: tabular-nums; }
#status p { margin: 0.25rem 0; min-height: 1.5em; font-variant-numeric: tabular-nums; }
#status .complaint { color: #b42318; font-weight: 600; }
.dark #status .complaint { color: #ff8a80; }
@media (max-width: 640px) {
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
