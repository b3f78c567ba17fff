package agent

func systemName() string { return "Windows" }
