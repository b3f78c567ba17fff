package api

import (
	"latchkey"
	"latchkey/internal/secret"
)

// The routes of the agent listener. All but Enroll ask for the machine's
// client certificate. Bodies are JSON, at most MaxBody bytes.
const (
	EnrollPath = "/agent/v1/enroll"
	BeginPath  = "/agent/v1/logon/begin"
	AnswerPath = "/agent/v1/logon/answer"
	SyncPath   = "/agent/v1/sync"
	BundlePath = "/agent/v1/bundle"
	HealthPath = "/agent/v1/health"

	MaxBody = 1 << 20
)

// EnrollRequest joins a machine. The identity key is the one of the TLS client
// certificate that the request comes with.
type EnrollRequest struct {
	Secret       string            `json:"secret"` // the token's secret part
	Name         string            `json:"name"`
	OS           string            `json:"os"`
	AgentVersion string            `json:"agent_version"`
	KeyClass     latchkey.KeyClass `json:"key_class"`
	SealingKey   []byte            `json:"sealing_key"` // P-256, uncompressed point
}

// EnrollResponse tells a machine who it is.
type EnrollResponse struct {
	Deployment string             `json:"deployment"`
	Machine    latchkey.MachineID `json:"machine"`
	Name       string             `json:"name"`
	Pending    bool               `json:"pending"`  // waits for machine approve
	Keys       []byte             `json:"keys"`     // DSSE KeySet
	Settings   []byte             `json:"settings"` // DSSE Settings
}

// BeginRequest opens a logon.
type BeginRequest struct {
	Nonce string         `json:"nonce"`
	Logon latchkey.Logon `json:"logon"`
}

// AnswerRequest carries one answer. State comes from the prompt.
type AnswerRequest struct {
	Nonce string         `json:"nonce"`
	Logon latchkey.Logon `json:"logon"`
	State []byte         `json:"state"`
	Value secretText     `json:"value"`
}

// A Turn is the server's next word: exactly one of the two is set. Verdict is
// a DSSE envelope of type VerdictType.
type Turn struct {
	Prompt  *latchkey.Prompt `json:"prompt,omitempty"`
	Verdict []byte           `json:"verdict,omitempty"`

	// What the verdict says, for whoever counts verdicts. It never travels.
	Outcome latchkey.Outcome `json:"-"`
	Reason  latchkey.Reason  `json:"-"`
}

// secretText is an answer on the wire; it prints as [secret] everywhere else.
type secretText struct{ secret.Bytes }

// Secret wraps an answer for an AnswerRequest.
func Secret(b secret.Bytes) secretText { return secretText{b} }

// MarshalJSON writes the answer itself: this is the one place that may.
func (s secretText) MarshalJSON() ([]byte, error) { return quote(s.Bytes), nil }

// UnmarshalJSON reads the answer.
func (s *secretText) UnmarshalJSON(b []byte) error {
	v, err := unquote(b)
	s.Bytes = v
	return err
}

// SyncRequest is a machine's report and its question for news.
type SyncRequest struct {
	Nonce        string   `json:"nonce"`
	OS           string   `json:"os"`
	AgentVersion string   `json:"agent_version"`
	Generation   uint64   `json:"generation"`      // of the ledger; going back is an incident
	Proof        []byte   `json:"proof,omitempty"` // DSSE Settings with the highest version seen
	Users        []Known  `json:"users"`
	Events       []Report `json:"events"`
	Lost         uint64   `json:"lost"` // events that a full ring overwrote
}

// Known is what the machine holds for one user.
type Known struct {
	User    latchkey.UserID  `json:"user"`
	Version uint64           `json:"version"` // of the header; 0 for none
	Wiped   bool             `json:"wiped"`   // a tombstone was carried out
	Uses    int              `json:"uses"`    // offline logins since Anchor
	Anchor  int64            `json:"anchor"`
	Floors  []latchkey.Floor `json:"floors"`
}

// A Report is one offline event, delivered at least once.
type Report struct {
	Seq        uint64                   `json:"seq"`  // from 1, without gaps
	Prev       string                   `json:"prev"` // hash of the event before
	At         int64                    `json:"at"`
	Logon      latchkey.LogonID         `json:"logon"`
	User       latchkey.UserID          `json:"user"`
	Typed      string                   `json:"typed,omitempty"` // the name, where no user is known
	Scenario   latchkey.Scenario        `json:"scenario"`
	Outcome    latchkey.Outcome         `json:"outcome"`
	Reason     latchkey.Reason          `json:"reason"`
	Kind       latchkey.Kind            `json:"kind,omitempty"`
	Credential latchkey.AuthenticatorID `json:"credential,omitempty"`
	Used       uint64                   `json:"used,omitempty"` // step or counter that was consumed
}

// SyncResponse is the server's news. Health and Settings are signed.
type SyncResponse struct {
	Health   []byte `json:"health"`
	Keys     []byte `json:"keys"`
	Settings []byte `json:"settings"`
	Acked    uint64 `json:"acked"` // events up to this seq are stored
	State    string `json:"state"` // latchkey.MachineState
	Users    []News `json:"users"`
}

// News says which version of a user's header is current. The header itself is
// fetched from BundlePath.
type News struct {
	User    latchkey.UserID `json:"user"`
	Version uint64          `json:"version"`
}

// HealthRequest asks for a signed Health.
type HealthRequest struct {
	Nonce string `json:"nonce"`
}

// BundleRequest fetches one user's header and the chunks that are missing.
type BundleRequest struct {
	User latchkey.UserID `json:"user"`
	Have []string        `json:"have"` // SHA-256 of the chunks that the machine holds
}

// BundleResponse carries the sealed header of a version and sealed chunks.
type BundleResponse struct {
	User    latchkey.UserID `json:"user"`
	Version uint64          `json:"version"`
	Header  []byte          `json:"header"` // see bundle.SealHeader
	Chunks  []SealedChunk   `json:"chunks"`
}

// A SealedChunk is one run of codes, sealed to the machine.
type SealedChunk struct {
	SHA256 string `json:"sha256"` // of the plaintext, as the header names it
	Sealed []byte `json:"sealed"`
}

// A Problem is an error on the wire (RFC 9457). It never repeats input.
type Problem struct {
	Status int           `json:"status"`
	Code   latchkey.Code `json:"code"`
	Title  string        `json:"title"`
	Detail string        `json:"detail,omitempty"`
	Hint   string        `json:"hint,omitempty"`
}
