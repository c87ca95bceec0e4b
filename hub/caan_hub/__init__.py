"""Publishing on the Hugging Face Hub: models with card and remote code, prepared benchmarks, the demo as a Space."""
