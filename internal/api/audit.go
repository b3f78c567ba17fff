package api

// What breaks a chain.
const (
	LinkAltered       = "altered"            // a row was edited or moved
	LinkMissing       = "missing"            // rows were deleted, or the end was cut off
	CheckpointAltered = "checkpoint_altered" // not what the server signed
	CheckpointMissing = "checkpoint_missing" // the server signed more often than that
)

// AuditVerdict says whether the sealed part of the audit trail is what was
// written. With Next above 0 the rest is asked for with after=Next.
type AuditVerdict struct {
	OK          bool        `json:"ok"`
	Sealed      int64       `json:"sealed"`      // rows that have a place in the chain
	Verified    int64       `json:"verified"`    // rows that hold
	Checkpoints int64       `json:"checkpoints"` // signatures that hold
	Unsealed    int64       `json:"unsealed"`    // rows that wait for their place
	Head        ChainHead   `json:"head"`        // the last row that holds: note it elsewhere
	Broken      *BrokenLink `json:"broken"`      // the first one, or null
	Next        int64       `json:"next"`
}

// ChainHead names a row and all rows before it.
type ChainHead struct {
	Position int64  `json:"position"`
	Hash     string `json:"hash"` // SHA-256, hex
}

// BrokenLink is where a chain breaks.
type BrokenLink struct {
	Position int64  `json:"position"`
	Event    string `json:"event"` // id of the row, where there is one
	Kind     string `json:"kind"`
	Detail   string `json:"detail"`
}
