package agent

// Notify lets tests play service manager.
var Notify = notify
