"""Go's text/template as Ollama uses it, parsed and evaluated here: Ollama has no endpoint that renders."""
