'use strict';

// Refusal is an error with the status and the code by which Express and its
// error handlers know it. Its message is for the log: no client reads it.
class Refusal extends Error {
  constructor(status, code, message, more) {
    super(message, more);
    this.name = 'Refusal';
    this.status = status;
    this.statusCode = status;
    this.code = code;
    this.expose = false;
  }
}

// forged says that the request does not carry the word of the gate.
const forged = (message) => new Refusal(401, 'EHAUBERKIDENTITY', message);

// misplaced says that the app is not wired as it must be.
const misplaced = (message) => new Refusal(500, 'EHAUBERKMOUNT', message);

module.exports = { Refusal, forged, misplaced };
