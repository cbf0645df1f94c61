"""What people run against the service: HTTP only."""
