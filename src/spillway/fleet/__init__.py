"""What is up and how busy: upstreams, their probes, breakers and in-flight counts."""
