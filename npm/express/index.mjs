import hauberk from './index.js';

export const { requireUser, requireRole, requireScope, requireFresh } = hauberk;
export { hauberk, hauberk as default };
