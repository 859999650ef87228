"""Applications: engine, rows, effects, evidence, attachments and jobs."""
