import { strategies } from './registry.ts';
import { strategyContract } from './strategy.contract.ts';

for (const [name, factory] of Object.entries(strategies)) strategyContract(name, factory);
