package hauberk

// Alike compares what came through the two doors.
var Alike = alike
