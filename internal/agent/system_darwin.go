package agent

func systemName() string { return "macOS" }
