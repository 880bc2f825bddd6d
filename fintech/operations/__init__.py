"""Looking after a platform that runs: its health, its errors, its backups, what is no longer kept, its flags."""
