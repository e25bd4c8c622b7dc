"""Models that answer rankers' questions: everything here implements ``rankers.ports``."""
