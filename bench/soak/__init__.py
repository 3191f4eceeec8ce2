"""The whole gateway under thousands of streams, faults and callers that leave."""
