"""What a gateway adds to a request, measured side by side with other gateways."""
