"""The application as a service: a queue of jobs that survives anything, and its faces over HTTP."""
