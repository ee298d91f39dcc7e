import hauberk from './index.js';

export type { Auth, Facts, GuardOptions, Handler, Middleware, Options, Refusal, User } from './index.js';
export declare const requireUser: typeof hauberk.requireUser;
export declare const requireRole: typeof hauberk.requireRole;
export declare const requireScope: typeof hauberk.requireScope;
export declare const requireFresh: typeof hauberk.requireFresh;
export { hauberk, hauberk as default };
