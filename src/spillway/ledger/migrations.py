"""The ledger's tables, as numbered steps from an empty database to today's.

A step is never edited once released: a change is a new step at the end. Types in braces differ between the
databases and are filled in by them.
"""

from __future__ import annotations

__all__ = ["LATEST", "STEPS", "VERSION_TABLE"]

VERSION_TABLE = "spillway_schema"
"""Holds one row with the number of the last step taken; its presence marks a database as a ledger."""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE requests (
            request_id TEXT NOT NULL PRIMARY KEY,
            client_request_id TEXT,
            accepted_at {real} NOT NULL,
            ttft_s {real},
            total_s {real} NOT NULL,
            overhead_s {real},
            operation TEXT NOT NULL,
            is_stream {boolean} NOT NULL,
            model_asked TEXT NOT NULL,
            task TEXT,
            pin TEXT,
            is_private {boolean} NOT NULL,
            slo_class TEXT NOT NULL,
            slo_ttft_s {real},
            slo_total_s {real},
            key_name TEXT,
            side TEXT,
            upstream TEXT,
            model TEXT,
            model_reported TEXT,
            reasons TEXT NOT NULL,
            attempts {integer} NOT NULL,
            status {integer} NOT NULL,
            result TEXT NOT NULL,
            finish_reason TEXT,
            error_code TEXT,
            input_tokens {integer},
            input_tokens_grade TEXT,
            output_tokens {integer},
            output_tokens_grade TEXT,
            cache_read_tokens {integer},
            cache_write_tokens {integer},
            reasoning_tokens {integer},
            cost_usd {money},
            price_usd {money},
            energy_usd {money},
            amortisation_usd {money},
            reference_cost_usd {money},
            reference_model TEXT,
            request_bytes {integer},
            response_bytes {integer},
            prompt_text TEXT,
            completion_text TEXT
        ){keyed_storage}""",
        "CREATE INDEX requests_by_time ON requests (accepted_at)",
        """CREATE TABLE attempts (
            request_id TEXT NOT NULL,
            attempt_index {integer} NOT NULL,
            kind TEXT NOT NULL,
            upstream TEXT NOT NULL,
            side TEXT NOT NULL,
            model TEXT NOT NULL,
            model_reported TEXT,
            in_flight {integer},
            started_s {real} NOT NULL,
            first_token_s {real},
            ended_s {real} NOT NULL,
            forecast_ttft_s {real},
            forecast_ttft_p95_s {real},
            forecast_total_p95_s {real},
            status {integer},
            finish_reason TEXT,
            error_code TEXT,
            input_tokens {integer},
            output_tokens {integer},
            tokens_grade TEXT,
            cache_read_tokens {integer},
            cache_write_tokens {integer},
            reasoning_tokens {integer},
            cost_usd {money},
            price_usd {money},
            energy_usd {money},
            amortisation_usd {money},
            PRIMARY KEY (request_id, attempt_index)
        ){keyed_storage}""",
    ),
    (
        """CREATE INDEX requests_by_client_id ON requests (client_request_id)
            WHERE client_request_id IS NOT NULL""",
        """CREATE TABLE evidence (
            task TEXT NOT NULL,
            upstream TEXT NOT NULL,
            model TEXT NOT NULL,
            identity TEXT NOT NULL,
            side TEXT NOT NULL,
            standing TEXT NOT NULL,
            cause TEXT,
            stage {integer} NOT NULL,
            first_at {real},
            last_at {real},
            changed_at {real},
            compared {integer} NOT NULL,
            gap {real},
            checked {integer} NOT NULL,
            gate_failures {real},
            rated {integer} NOT NULL,
            bad_ratings {real},
            record TEXT NOT NULL,
            PRIMARY KEY (task, upstream, model, identity)
        ){keyed_storage}""",
        """CREATE TABLE evidence_events (
            request_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            upstream TEXT NOT NULL,
            model TEXT NOT NULL,
            identity TEXT NOT NULL,
            task TEXT NOT NULL,
            side TEXT NOT NULL,
            score {real} NOT NULL,
            at {real} NOT NULL,
            detail TEXT NOT NULL,
            stage {integer} NOT NULL,
            position {integer} NOT NULL,
            local_text TEXT,
            reference_text TEXT,
            PRIMARY KEY (request_id, kind, upstream, model)
        ){keyed_storage}""",
        "CREATE INDEX evidence_events_by_time ON evidence_events (at)",
    ),
    (
        """CREATE TABLE thresholds (
            task TEXT NOT NULL,
            upstream TEXT NOT NULL,
            model TEXT NOT NULL,
            identity TEXT NOT NULL,
            value {real},
            checked {integer} NOT NULL,
            state TEXT NOT NULL,
            PRIMARY KEY (task, upstream, model, identity)
        ){keyed_storage}""",
    ),
    (
        """CREATE TABLE drift_events (
            at {real} NOT NULL,
            node TEXT NOT NULL,
            model TEXT NOT NULL,
            field TEXT NOT NULL,
            before TEXT NOT NULL,
            after TEXT NOT NULL,
            action TEXT NOT NULL,
            PRIMARY KEY (at, node, model, field, before, action)
        ){keyed_storage}""",
    ),
    ("ALTER TABLE attempts ADD COLUMN forecast_cached_tokens {real}",),
)

LATEST = len(STEPS)
