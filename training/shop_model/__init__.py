"""How the demo model is made: tokenizer, network, training, export, evaluation."""
