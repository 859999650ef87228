"""The one engine of applications, their rows, effects, evidence, attachments and jobs."""
