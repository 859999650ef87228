/* Enhancements of pages that work without script: menus, dialogs, dates, quantities, double submits. */
import { startClock, startMenu, startPops, startPrint, startTheme } from "./frame.js";
import { startConfirm, startGuard } from "./submit.js";
import { startTables } from "./tables.js";
import { startDates } from "./dates.js";
import { startFiles } from "./files.js";
import { startLines } from "./lines.js";
import { startSignIn } from "./signin.js";
import { startCertificateStep, startEnrolment, startFirstSignIn, startRenewal } from "./assistant.js";

startMenu();
startPops();
startTheme();
startClock();
startPrint();
startConfirm();
startGuard();
startTables();
startDates();
startFiles();
startLines();
startSignIn();
startCertificateStep();
startEnrolment();
startFirstSignIn();
startRenewal();
document.querySelector("[data-error-summary]")?.focus();
