import type { IncomingMessage, ServerResponse } from 'node:http';

declare global {
  namespace Express {
    interface User extends hauberk.User {}
    interface Request {
      /** Who the gate signed for; undefined for nobody. */
      user?: User | undefined;
      /** What the gate signed. */
      auth?: hauberk.Auth | undefined;
      /** Whether somebody is signed in. */
      isAuthenticated(): boolean;
    }
    interface Locals {
      /** The nonce for the scripts of this page; '' where the gate hands none. */
      cspNonce: string;
    }
  }
}

declare function hauberk(options: hauberk.Options): hauberk.Middleware;

declare namespace hauberk {
  export interface Options {
    /** The path of the gate's JWKS file, or `unix:` and the absolute path of its private socket, which is its administration too. */
    keys: string;
    /** `identity.issuer` of the gate. */
    issuer: string;
    /** `identity.audience` of the gate, by default the route's `to:`. */
    audience: string;
    /** Called with each refusal, and with each failure to read the keys, for a log. */
    onError?: ((err: Refusal | Error, req?: IncomingMessage) => void) | undefined;
  }

  export interface User {
    /** Never given to another. */
    readonly id: string;
    readonly name: string | undefined;
    readonly email: string | undefined;
    readonly tenant: string | undefined;
    readonly roles: readonly string[];
    /** Those of a bearer token. */
    readonly scopes: readonly string[];
    /** How it was proved (RFC 8176). */
    readonly amr: readonly string[];
    /** When, in seconds since 1970. */
    readonly authTime: number;
    readonly sessionId: string | undefined;
  }

  export interface Auth {
    readonly payload: Readonly<Record<string, unknown>>;
    readonly anonymous: boolean;
    /** False where the body streams: then nobody signed for it. */
    readonly bodyBound: boolean;
  }

  export interface Facts {
    readonly user: User | undefined;
    readonly auth: Auth;
  }

  export interface Refusal extends Error {
    readonly status: number;
    readonly code: 'EHAUBERKIDENTITY' | 'EHAUBERKBODY' | 'EHAUBERKBUSY' | 'EHAUBERKMOUNT' | 'EHAUBERKSIGNIN' | 'EHAUBERKROLE' | 'EHAUBERKSCOPE' | 'EHAUBERKFRESH';
  }

  export interface Handler {
    (req: IncomingMessage, res: ServerResponse, next: (err?: any) => void): void;
  }

  export interface Middleware extends Handler {
    /** Verifies a request of `server.on('upgrade')`; rejects with a Refusal. */
    verifyUpgrade(req: IncomingMessage): Promise<Facts>;
  }

  export interface GuardOptions {
    /** Leads a visitor's page to the gate's sign-in, or to its confirmation, and back. */
    redirect?: boolean | undefined;
  }

  /** Lets in who is signed in; 401 EHAUBERKSIGNIN. */
  export function requireUser(options?: GuardOptions): Handler;
  /** Lets in who has one of the roles; 403 EHAUBERKROLE. */
  export function requireRole(...roles: [string, ...string[]] | [string, ...string[], GuardOptions]): Handler;
  /** Lets in whose token has all of the scopes; 403 EHAUBERKSCOPE. */
  export function requireScope(...scopes: [string, ...string[]] | [string, ...string[], GuardOptions]): Handler;
  /** Lets in who proved who they are in the last seconds; 401 EHAUBERKFRESH. */
  export function requireFresh(seconds: number, options?: GuardOptions): Handler;

  export { hauberk, hauberk as default };
}

export = hauberk;
