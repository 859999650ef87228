"""What our figures stand beside: django-hordak, and the minimal cost of a durable transfer."""
