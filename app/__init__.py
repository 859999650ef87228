"""The registry.  Nothing is imported here: rules and keys are used without the web application."""
