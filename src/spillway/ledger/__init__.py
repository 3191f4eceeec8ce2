"""What every request cost: prices, bills, and a database that holds each request and attempt."""
