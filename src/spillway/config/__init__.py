"""Settings: one frozen ``Config``, read from ``spillway.yaml`` or discovered, validated as a whole."""
