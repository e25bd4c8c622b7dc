"""Which parts of a long list a listwise ranker sees, and in which order (arXiv 2304.09542)."""


def sliding_windows(n: int, *, window: int = 20, step: int = 10) -> list[tuple[int, int]]:
    """Half-open ranges over ``n`` candidates, from the back to the front.

    The first range ends at ``n``, each next one lies ``step`` nearer to the front, and the last
    one starts at 0; fewer candidates than ``window`` give one range, none give none. The best
    ``window - step`` of one range are seen again in the next.

    Raises ValueError unless 1 <= step <= window.
    """
    if not 1 <= step <= window:
        raise ValueError(f"need 1 <= step <= window, got step {step}, window {window}")
    ranges: list[tuple[int, int]] = []
    end = n
    while end > 0:
        start = max(0, end - window)
        ranges.append((start, end))
        if start == 0:
            break
        end -= step
    return ranges
