package fleet

// LeaseEnd is when a lease that is given now ends.
var LeaseEnd = leaseEnd
