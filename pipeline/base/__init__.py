"""What every other room may use: settings, errors, shared types and exchange calendars."""
