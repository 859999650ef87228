"""What is allocated to enterprises, and claimed back."""
