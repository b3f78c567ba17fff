package agent

import "io/fs"

// trusted: without owners in the Unix sense nothing can be promised.
func trusted(fs.FileInfo) bool { return false }
