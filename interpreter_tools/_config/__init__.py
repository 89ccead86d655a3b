"""Plain data and its checks: configurations, run options, results, paths."""
