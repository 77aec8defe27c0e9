BEGIN TRANSACTION;
CREATE TABLE attempts (
	id INTEGER NOT NULL, 
	proposal INTEGER NOT NULL, 
	label_key VARCHAR(64) NOT NULL, 
	calculator VARCHAR(128) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	failure_kind VARCHAR(16) NOT NULL, 
	failure_reason TEXT NOT NULL, 
	folder TEXT NOT NULL, 
	started DATETIME NOT NULL, 
	ended DATETIME, 
	seconds DOUBLE, 
	PRIMARY KEY (id), 
	FOREIGN KEY(proposal) REFERENCES proposals (id)
);
INSERT INTO "attempts" VALUES(1,1,'00000000000000000000000000000003','bvse','succeeded','','','campaigns/synthetic/labels/00000000000000000000000000000003','2026-11-21 23:39:06.354800','2026-11-21 23:39:06.393375',2.5025369999639224261e-02);
INSERT INTO "attempts" VALUES(2,2,'00000000000000010000000000000003','bvse','succeeded','','','campaigns/synthetic/labels/00000000000000010000000000000003','2026-11-21 23:39:06.427356','2026-11-21 23:39:06.440970',1.12038689985638484358e-02);
INSERT INTO "attempts" VALUES(3,3,'00000001000000000000000000000003','chgnet','succeeded','','','campaigns/synthetic/labels/00000001000000000000000000000003','2026-11-21 23:39:06.544218','2026-11-21 23:39:06.552115',6.49315700138686224818e-03);
INSERT INTO "attempts" VALUES(4,4,'00000001000000010000000000000003','chgnet','succeeded','','','campaigns/synthetic/labels/00000001000000010000000000000003','2026-11-21 23:39:06.565205','2026-11-21 23:39:06.578650',2.44247399677988141775e-03);
INSERT INTO "attempts" VALUES(5,5,'00000001000000020000000000000003','chgnet','succeeded','','','campaigns/synthetic/labels/00000001000000020000000000000003','2026-11-21 23:39:06.592146','2026-11-21 23:39:06.602638',2.27459099551197141408e-03);
INSERT INTO "attempts" VALUES(6,6,'00000002000000000000000000000003','chgnet','succeeded','','','campaigns/synthetic/labels/00000002000000000000000000000003','2026-11-21 23:39:06.732841','2026-11-21 23:39:06.740522',6.27914699725806713104e-03);
INSERT INTO "attempts" VALUES(7,7,'00000002000000010000000000000003','chgnet','succeeded','','','campaigns/synthetic/labels/00000002000000010000000000000003','2026-11-21 23:39:06.748756','2026-11-21 23:39:06.754789',2.25329100067028775811e-03);
INSERT INTO "attempts" VALUES(8,8,'00000002000000020000000000000003','chgnet','succeeded','','','campaigns/synthetic/labels/00000002000000020000000000000003','2026-11-21 23:39:06.769242','2026-11-21 23:39:06.772967',2.39873299869941547513e-03);
INSERT INTO "attempts" VALUES(9,5,'00000001000000020000000000000003','chgnet','running','','','campaigns/synthetic/labels/x','2026-11-21 23:39:06.855612',NULL,NULL);
CREATE TABLE campaigns (
	name VARCHAR(128) NOT NULL, 
	host VARCHAR(64) NOT NULL, 
	target_fidelity VARCHAR(64) NOT NULL, 
	seed INTEGER NOT NULL, 
	config JSON NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	stop_reason TEXT NOT NULL, 
	created DATETIME NOT NULL, 
	ended DATETIME, 
	driven_s DOUBLE NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "campaigns" VALUES('synthetic','nzsp','chgnet-neb',3,'{"campaign": {"name": "synthetic", "rounds": 2, "batch": 3, "host": "nzsp"}, "stopping": {"target_eV": 0.28, "max_rounds": 2}, "label": {"calculators": ["chgnet", "bvse"]}}','running','','2026-11-21 23:39:06.246542',NULL,0.0);
CREATE TABLE events (
	id INTEGER NOT NULL, 
	campaign VARCHAR(128) NOT NULL, 
	time DATETIME NOT NULL, 
	who VARCHAR(128) NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	text TEXT NOT NULL, 
	data JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "events" VALUES(1,'synthetic','2026-11-21 23:39:06.308771','ionloop','decision','round 0: proposed 2','{"round": 0}');
INSERT INTO "events" VALUES(2,'synthetic','2026-11-21 23:39:06.488592','ionloop','decision','round 0: pre-trained on synthetic cheap labels','{}');
INSERT INTO "events" VALUES(3,'synthetic','2026-11-21 23:39:06.519298','ionloop','decision','round 1: proposed 3','{"round": 1}');
INSERT INTO "events" VALUES(4,'synthetic','2026-11-21 23:39:06.682818','ionloop','decision','round 1: retrained on 3 labels','{}');
INSERT INTO "events" VALUES(5,'synthetic','2026-11-21 23:39:06.715179','ionloop','decision','round 2: proposed 3','{"round": 2}');
INSERT INTO "events" VALUES(6,'synthetic','2026-11-21 23:39:06.816447','ionloop','decision','round 2: retrained on 6 labels','{}');
INSERT INTO "events" VALUES(7,'synthetic','2026-11-21 23:39:06.844883','ada','add-outcome','ada: Na5.75Al0.25Mg1.25Sn0.25Zr0.25Si2PO12 was made, with the outcome impurities (900 °C, 12 h)','{}');
CREATE TABLE labels (
	"key" VARCHAR(64) NOT NULL, 
	composition VARCHAR(256) NOT NULL, 
	ordering INTEGER NOT NULL, 
	fidelity VARCHAR(64) NOT NULL, 
	"value_eV" DOUBLE, 
	converged BOOLEAN NOT NULL, 
	data JSON NOT NULL, 
	created DATETIME NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "labels" VALUES('00000000000000000000000000000003','nzsp:Ge3+4.Sc1+3.Sn3+4.Ti1+4:13',0,'bvse',0.863218125174025,1,'{"key": "00000000000000000000000000000003", "fidelity": "bvse", "value_eV": 0.863218125174025, "converged": true, "hops": [], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000000000000000000000000000003"}','2026-11-21 23:39:06.403124');
INSERT INTO "labels" VALUES('00000000000000010000000000000003','nzsp:Al3+3.Mg2+2.Nb2+5.Y1+3:18',0,'bvse',8.59340960043338486507e-01,1,'{"key": "00000000000000010000000000000003", "fidelity": "bvse", "value_eV": 0.8593409600433385, "converged": true, "hops": [], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000000000000010000000000000003"}','2026-11-21 23:39:06.443272');
INSERT INTO "labels" VALUES('00000001000000000000000000000003','nzsp:Al2+3.Sc1+3.Y3+3.Zr2+4:18',0,'chgnet-neb',3.34280907563163531825e-01,1,'{"key": "00000001000000000000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.33428090756316353, "converged": true, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.33626867959303725, "backward_eV": 0.3322931355332898, "reaction_energy_eV": 0.003975544059747447, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.08423281756741545, 0.2520358620256218, 0.33626867959303725, 0.253361043378871, 0.08688318027391387, 0.003975544059747447], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.4070875162888306, "backward_eV": 0.36147429883749643, "reaction_energy_eV": 0.04561321745133416, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.10367242979934654, 0.303415086489484, 0.4070875162888306, 0.3186194923065955, 0.13408124143356948, 0.04561321745133416], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000001000000000000000000000003"}','2026-11-21 23:39:06.554513');
INSERT INTO "labels" VALUES('00000001000000010000000000000003','nzsp:Al1+3.Mg5+2.Sn1+4.Zr1+4:23',0,'chgnet-neb',2.72884062502915747394e-01,1,'{"key": "00000001000000010000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.27288406250291575, "converged": true, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.2790960262350799, "backward_eV": 0.26667209877075154, "reaction_energy_eV": 0.012423927464328332, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.07029167020311698, 0.2088043560319629, 0.2790960262350799, 0.21294566518673905, 0.07857428851266932, 0.012423927464328332], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.31111763291871836, "backward_eV": 0.3346504920871131, "reaction_energy_eV": -0.023532859168394763, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.07679887243099646, 0.23431876048772185, 0.31111763291871836, 0.226474474098257, 0.06111029965206674, -0.023532859168394763], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000001000000010000000000000003"}','2026-11-21 23:39:06.589277');
INSERT INTO "labels" VALUES('00000001000000020000000000000003','nzsp:Al1+3.Nb1+5.Sn3+4.Ti3+4:12',0,'chgnet-neb',3.32569449856730814385e-01,1,'{"key": "00000001000000020000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.3325694498567308, "converged": true, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.3232196872380433, "backward_eV": 0.3419192124754183, "reaction_energy_eV": -0.018699525237375003, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.0800257749246202, 0.24319391231342308, 0.3232196872380433, 0.23696073723429814, 0.06755942476637031, -0.018699525237375003], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.3752724971748983, "backward_eV": 0.3898664025385633, "reaction_energy_eV": -0.014593905363664988, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.09321004490357185, 0.2820624522713264, 0.3752724971748983, 0.27719781715010483, 0.08348077466112867, -0.014593905363664988], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000001000000020000000000000003"}','2026-11-21 23:39:06.616661');
INSERT INTO "labels" VALUES('00000002000000000000000000000003','nzsp:Al2+3.Mg1+2.Sc2+3.Y3+3:21',0,'chgnet-neb',2.80620666158032494585e-01,0,'{"key": "00000002000000000000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.2806206661580325, "converged": false, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.2864274278836484, "backward_eV": 0.2748139044324166, "reaction_energy_eV": 0.0116135234512318, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.07209075378138008, 0.21433667410226828, 0.2864274278836484, 0.21820784858601228, 0.07983310274886805, 0.0116135234512318], "converged": false, "fmax_eV_per_A": 0.21, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.34408561789614767, "backward_eV": 0.31715571441991725, "reaction_energy_eV": 0.0269299034762304, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.08714348378554651, 0.25694213411060113, 0.34408561789614767, 0.265918768602678, 0.10509675276970024, 0.0269299034762304], "converged": false, "fmax_eV_per_A": 0.21, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000002000000000000000000000003"}','2026-11-21 23:39:06.742699');
INSERT INTO "labels" VALUES('00000002000000010000000000000003','nzsp:Hf1+4.Sc2+3.Sn4+4.Zr1+4:14',0,'chgnet-neb',2.34741214673283321578e-01,1,'{"key": "00000002000000010000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.23474121467328332, "converged": true, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.23772692047825403, "backward_eV": 0.23175550886831264, "reaction_energy_eV": 0.005971411609941388, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.05968053893664438, 0.1780463815416096, 0.23772692047825403, 0.18003685207825676, 0.06366148000993872, 0.005971411609941388], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.2926319750021674, "backward_eV": 0.27685045434439925, "reaction_energy_eV": 0.01578152065776814, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.07381555711128218, 0.21881641789088518, 0.2926319750021674, 0.22407692477680796, 0.08433657088312771, 0.01578152065776814], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000002000000010000000000000003"}','2026-11-21 23:39:06.760653');
INSERT INTO "labels" VALUES('00000002000000020000000000000003','nzsp:Ge1+4.Hf2+4.Sc3+3.Y2+3:17',0,'chgnet-neb',2.69128634334998673161e-01,1,'{"key": "00000002000000020000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.2691286343349987, "converged": true, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.26532385851538814, "backward_eV": 0.27293341015460915, "reaction_energy_eV": -0.007609551639221016, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.06601389997721283, 0.1993099585381753, 0.26532385851538814, 0.1967734413251017, 0.06094086555106557, -0.007609551639221016], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.3097047438960081, "backward_eV": 0.3285525247739892, "reaction_energy_eV": -0.01884778087798114, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.0766408617707528, 0.23306388212525525, 0.3097047438960081, 0.2267812884992616, 0.06407567451876549, -0.01884778087798114], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000002000000020000000000000003"}','2026-11-21 23:39:06.774651');
CREATE TABLE meta (
	"key" VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema_version','2');
CREATE TABLE predictions (
	campaign VARCHAR(128) NOT NULL, 
	rank INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	composition VARCHAR(256) NOT NULL, 
	formula VARCHAR(256) NOT NULL, 
	cluster INTEGER, 
	"mean_eV" DOUBLE NOT NULL, 
	"sigma_eV" DOUBLE, 
	source VARCHAR(16) NOT NULL, 
	orderings INTEGER NOT NULL, 
	PRIMARY KEY (campaign, rank), 
	FOREIGN KEY(campaign) REFERENCES campaigns (name)
);
INSERT INTO "predictions" VALUES('synthetic',1,2,'nzsp:Ge1+4.Mg2+2.Sc4+3.Sn1+4:20','Na5Ge0.25Mg0.5Sc1Sn0.25Si2PO12',1,2.256190040282255449e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',2,2,'nzsp:Hf1+4.Sc2+3.Sn4+4.Zr1+4:14','Na3.5Hf0.25Sc0.5Sn1Zr0.25Si2PO12',3,2.34741214673283321578e-01,0.0,'label',1);
INSERT INTO "predictions" VALUES('synthetic',3,2,'nzsp:Mg3+2.Sn1+4.Y3+3.Zr1+4:21','Na5.25Mg0.75Sn0.25Y0.75Zr0.25Si2PO12',0,2.60995578106517800431e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',4,2,'nzsp:Mg2+2.Sc1+3.Sn1+4.Zr4+4:17','Na4.25Mg0.5Sc0.25Sn0.25Zr1Si2PO12',3,2.64989768436080297409e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',5,2,'nzsp:Mg3+2.Sc1+3.Ti2+4.Y2+3:21','Na5.25Mg0.75Sc0.25Ti0.5Y0.5Si2PO12',4,2.65807761712193058034e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',6,2,'nzsp:Hf3+4.Mg1+2.Nb2+5.Sc2+3:14','Na3.5Hf0.75Mg0.25Nb0.5Sc0.5Si2PO12',4,2.68466927237669350514e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',7,2,'nzsp:Ge1+4.Hf2+4.Sc3+3.Y2+3:17','Na4.25Ge0.25Hf0.5Sc0.75Y0.5Si2PO12',5,2.69128634334998673161e-01,0.0,'label',1);
INSERT INTO "predictions" VALUES('synthetic',8,2,'nzsp:Al1+3.Mg5+2.Sn1+4.Zr1+4:23','Na5.75Al0.25Mg1.25Sn0.25Zr0.25Si2PO12',0,2.72884062502915747394e-01,0.0,'label',1);
INSERT INTO "predictions" VALUES('synthetic',9,2,'nzsp:Al1+3.Mg1+2.Sc4+3.Ta2+5:17','Na4.25Al0.25Mg0.25Sc1Ta0.5Si2PO12',2,2.77814615404533449272e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',10,2,'nzsp:Al1+3.Hf1+4.Sn3+4.Y3+3:16','Na4Al0.25Hf0.25Sn0.75Y0.75Si2PO12',5,2.80754784269748314251e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',11,2,'nzsp:Al1+3.Sc1+3.Sn5+4.Ta1+5:13','Na3.25Al0.25Sc0.25Sn1.25Ta0.25Si2PO12',3,2.83619216464173207192e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',12,2,'nzsp:Ge1+4.Sn5+4.Ti1+4.Zr1+4:12','Na3Ge0.25Sn1.25Ti0.25Zr0.25Si2PO12',2,2.8507513915452348252e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',13,2,'nzsp:Hf2+4.Nb1+5.Sc3+3.Ta2+5:12','Na3Hf0.5Nb0.25Sc0.75Ta0.5Si2PO12',5,2.86583942635931288034e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',14,2,'nzsp:Nb1+5.Sc3+3.Ta1+5.Zr3+4:13','Na3.25Nb0.25Sc0.75Ta0.25Zr0.75Si2PO12',5,2.92426311919625536717e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',15,2,'nzsp:Ge3+4.Mg2+2.Sc1+3.Sn2+4:17','Na4.25Ge0.75Mg0.5Sc0.25Sn0.5Si2PO12',1,2.9600496353747146605e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',16,2,'nzsp:Al1+3.Ge1+4.Mg3+2.Y3+3:22','Na5.5Al0.25Ge0.25Mg0.75Y0.75Si2PO12',2,2.99054088681323826381e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',17,2,'nzsp:Ge3+4.Hf1+4.Sc3+3.Sn1+4:15','Na3.75Ge0.75Hf0.25Sc0.75Sn0.25Si2PO12',1,3.03556517800640690563e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',18,2,'nzsp:Hf3+4.Sc2+3.Ta2+5.Ti1+4:12','Na3Hf0.75Sc0.5Ta0.5Ti0.25Si2PO12',0,3.0877032479040006363e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',19,2,'nzsp:Al1+3.Nb3+5.Sn3+4.Y1+3:11','Na2.75Al0.25Nb0.75Sn0.75Y0.25Si2PO12',1,3.0960340743915448769e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',20,2,'nzsp:Sc1+3.Sn2+4.Ta2+5.Zr3+4:11','Na2.75Sc0.25Sn0.5Ta0.5Zr0.75Si2PO12',4,3.11432590463456560048e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',21,2,'nzsp:Ge1+4.Mg2+2.Nb2+5.Zr3+4:14','Na3.5Ge0.25Mg0.5Nb0.5Zr0.75Si2PO12',0,3.1457067389048543049e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',22,2,'nzsp:Ge2+4.Hf2+4.Sn2+4.Zr2+4:12','Na3Ge0.5Hf0.5Sn0.5Zr0.5Si2PO12',5,3.22044417022496420877e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',23,2,'nzsp:Mg1+2.Nb4+5.Ti1+4.Y2+3:12','Na3Mg0.25Nb1Ti0.25Y0.5Si2PO12',4,3.23750008175241466013e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',24,2,'nzsp:Al2+3.Hf2+4.Mg3+2.Zr1+4:20','Na5Al0.5Hf0.5Mg0.75Zr0.25Si2PO12',5,3.28376652098418819747e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',25,2,'nzsp:Ge3+4.Nb1+5.Sn3+4.Ta1+5:10','Na2.5Ge0.75Nb0.25Sn0.75Ta0.25Si2PO12',2,3.2957752026378367427e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',26,2,'nzsp:Sn1+4.Ta1+5.Ti2+4.Zr4+4:11','Na2.75Sn0.25Ta0.25Ti0.5Zr1Si2PO12',5,3.29934712319964906779e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',27,2,'nzsp:Al1+3.Nb1+5.Sn3+4.Ti3+4:12','Na3Al0.25Nb0.25Sn0.75Ti0.75Si2PO12',5,3.32569449856730814385e-01,0.0,'label',1);
INSERT INTO "predictions" VALUES('synthetic',28,2,'nzsp:Al2+3.Sc1+3.Y3+3.Zr2+4:18','Na4.5Al0.5Sc0.25Y0.75Zr0.5Si2PO12',0,3.34280907563163531825e-01,0.0,'label',1);
INSERT INTO "predictions" VALUES('synthetic',29,2,'nzsp:Mg1+2.Nb3+5.Ti2+4.Zr2+4:11','Na2.75Mg0.25Nb0.75Ti0.5Zr0.5Si2PO12',5,3.40454160492757840206e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',30,2,'nzsp:Al2+3.Nb1+5.Ti1+4.Y4+3:17','Na4.25Al0.5Nb0.25Ti0.25Y1Si2PO12',3,3.41128905253349157256e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',31,2,'nzsp:Al1+3.Hf3+4.Ti1+4.Zr3+4:13','Na3.25Al0.25Hf0.75Ti0.25Zr0.75Si2PO12',2,3.42199746642187330181e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',32,2,'nzsp:Ge2+4.Hf1+4.Sc2+3.Ti3+4:14','Na3.5Ge0.5Hf0.25Sc0.5Ti0.75Si2PO12',3,0.344294949602352,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',33,2,'nzsp:Ta2+5.Ti1+4.Y3+3.Zr2+4:13','Na3.25Ta0.5Ti0.25Y0.75Zr0.5Si2PO12',3,3.46773200842190654213e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',34,2,'nzsp:Ge3+4.Hf1+4.Mg3+2.Ti1+4:18','Na4.5Ge0.75Hf0.25Mg0.75Ti0.25Si2PO12',1,3.48242118077633666661e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',35,2,'nzsp:Al1+3.Ge1+4.Hf1+4.Zr5+4:13','Na3.25Al0.25Ge0.25Hf0.25Zr1.25Si2PO12',3,3.4870934166051104075e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',36,2,'nzsp:Al1+3.Nb2+5.Sn3+4.Ta2+5:9','Na2.25Al0.25Nb0.5Sn0.75Ta0.5Si2PO12',3,3.49483263983327463453e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',37,2,'nzsp:Al1+3.Ge2+4.Sc2+3.Ti3+4:15','Na3.75Al0.25Ge0.5Sc0.5Ti0.75Si2PO12',2,0.353243149661887,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',38,2,'nzsp:Ge2+4.Hf2+4.Ta1+5.Y3+3:14','Na3.5Ge0.5Hf0.5Ta0.25Y0.75Si2PO12',4,3.55285101494980437575e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',39,2,'nzsp:Hf2+4.Mg1+2.Ta4+5.Zr1+4:10','Na2.5Hf0.5Mg0.25Ta1Zr0.25Si2PO12',1,3.56311801900274782717e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',40,2,'nzsp:Al1+3.Sn2+4.Ti4+4.Zr1+4:13','Na3.25Al0.25Sn0.5Ti1Zr0.25Si2PO12',3,3.56422219295773667901e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',41,2,'nzsp:Al2+3.Nb1+5.Sn1+4.Zr4+4:13','Na3.25Al0.5Nb0.25Sn0.25Zr1Si2PO12',2,3.56936377764653700594e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',42,2,'nzsp:Nb1+5.Sn2+4.Ta4+5.Zr1+4:7','Na1.75Nb0.25Sn0.5Ta1Zr0.25Si2PO12',4,3.57825049304155817786e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',43,2,'nzsp:Al3+3.Hf2+4.Ti1+4.Y2+3:17','Na4.25Al0.75Hf0.5Ti0.25Y0.5Si2PO12',1,3.58262853778048617758e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',44,2,'nzsp:Al4+3.Sc1+3.Sn1+4.Zr2+4:17','Na4.25Al1Sc0.25Sn0.25Zr0.5Si2PO12',2,3.60222682488405110401e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',45,2,'nzsp:Al3+3.Hf3+4.Sc1+3.Y1+3:17','Na4.25Al0.75Hf0.75Sc0.25Y0.25Si2PO12',0,3.61888168682681643506e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',46,2,'nzsp:Ge4+4.Hf1+4.Y1+3.Zr2+4:13','Na3.25Ge1Hf0.25Y0.25Zr0.5Si2PO12',3,3.6268147492770358431e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',47,2,'nzsp:Mg1+2.Nb1+5.Sn1+4.Ta5+5:8','Na2Mg0.25Nb0.25Sn0.25Ta1.25Si2PO12',4,3.64524443074752624305e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',48,2,'nzsp:Hf1+4.Ta3+5.Ti1+4.Zr3+4:9','Na2.25Hf0.25Ta0.75Ti0.25Zr0.75Si2PO12',4,3.71650325941553727471e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',49,2,'nzsp:Ge3+4.Hf1+4.Nb3+5.Sn1+4:9','Na2.25Ge0.75Hf0.25Nb0.75Sn0.25Si2PO12',1,0.372773815122949,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',50,2,'nzsp:Ge3+4.Hf3+4.Ti1+4.Y1+3:13','Na3.25Ge0.75Hf0.75Ti0.25Y0.25Si2PO12',0,3.74190394667806791595e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',51,2,'nzsp:Ge2+4.Nb3+5.Ta2+5.Zr1+4:7','Na1.75Ge0.5Nb0.75Ta0.5Zr0.25Si2PO12',1,3.87580621700444383215e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',52,2,'nzsp:Ge5+4.Nb1+5.Sc1+3.Ti1+4:12','Na3Ge1.25Nb0.25Sc0.25Ti0.25Si2PO12',5,3.87862957382986373033e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',53,2,'nzsp:Al1+3.Ge4+4.Hf2+4.Ti1+4:13','Na3.25Al0.25Ge1Hf0.5Ti0.25Si2PO12',0,3.97459615320563175444e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',54,2,'nzsp:Al4+3.Sn1+4.Ta1+5.Ti2+4:15','Na3.75Al1Sn0.25Ta0.25Ti0.5Si2PO12',4,4.10279081645197329919e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',55,2,'nzsp:Al3+3.Ge2+4.Ta2+5.Y1+3:14','Na3.5Al0.75Ge0.5Ta0.5Y0.25Si2PO12',3,4.19250766078085201904e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',56,2,'nzsp:Al5+3.Ge1+4.Nb1+5.Sn1+4:16','Na4Al1.25Ge0.25Nb0.25Sn0.25Si2PO12',0,4.30552232407102719591e-01,0.03,'prediction',4);
INSERT INTO "predictions" VALUES('synthetic',57,2,'nzsp:Al5+3.Ge1+4.Nb1+5.Ti1+4:16','Na4Al1.25Ge0.25Nb0.25Ti0.25Si2PO12',2,0.461016054467552,0.03,'prediction',4);
CREATE TABLE proposals (
	id INTEGER NOT NULL, 
	campaign VARCHAR(128) NOT NULL, 
	round INTEGER NOT NULL, 
	rank INTEGER NOT NULL, 
	composition VARCHAR(256) NOT NULL, 
	formula VARCHAR(256) NOT NULL, 
	ordering INTEGER NOT NULL, 
	calculator VARCHAR(128) NOT NULL, 
	label_key VARCHAR(64) NOT NULL, 
	cluster INTEGER, 
	"mean_eV" DOUBLE, 
	"sigma_eV" DOUBLE, 
	score DOUBLE, 
	reason TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	prefect_run VARCHAR(64) NOT NULL, 
	created DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (campaign, round, rank), 
	FOREIGN KEY(campaign) REFERENCES campaigns (name)
);
INSERT INTO "proposals" VALUES(1,'synthetic',0,0,'nzsp:Ge3+4.Sc1+3.Sn3+4.Ti1+4:13','Na3.25Ge0.75Sc0.25Sn0.75Ti0.25Si2PO12',0,'bvse','00000000000000000000000000000003',4,NULL,NULL,NULL,'cheap label for pre-training','labelled','','2026-11-21 23:39:06.295988');
INSERT INTO "proposals" VALUES(2,'synthetic',0,1,'nzsp:Al3+3.Mg2+2.Nb2+5.Y1+3:18','Na4.5Al0.75Mg0.5Nb0.5Y0.25Si2PO12',0,'bvse','00000000000000010000000000000003',0,NULL,NULL,NULL,'cheap label for pre-training','labelled','','2026-11-21 23:39:06.310137');
INSERT INTO "proposals" VALUES(3,'synthetic',1,0,'nzsp:Al2+3.Sc1+3.Y3+3.Zr2+4:18','Na4.5Al0.5Sc0.25Y0.75Zr0.5Si2PO12',0,'chgnet','00000001000000000000000000000003',0,NULL,NULL,NULL,'spread over clusters','labelled','','2026-11-21 23:39:06.515864');
INSERT INTO "proposals" VALUES(4,'synthetic',1,1,'nzsp:Al1+3.Mg5+2.Sn1+4.Zr1+4:23','Na5.75Al0.25Mg1.25Sn0.25Zr0.25Si2PO12',0,'chgnet','00000001000000010000000000000003',0,NULL,NULL,NULL,'spread over clusters','labelled','','2026-11-21 23:39:06.517959');
INSERT INTO "proposals" VALUES(5,'synthetic',1,2,'nzsp:Al1+3.Nb1+5.Sn3+4.Ti3+4:12','Na3Al0.25Nb0.25Sn0.75Ti0.75Si2PO12',0,'chgnet','00000001000000020000000000000003',5,NULL,NULL,NULL,'spread over clusters','labelled','','2026-11-21 23:39:06.519628');
INSERT INTO "proposals" VALUES(6,'synthetic',2,0,'nzsp:Al2+3.Mg1+2.Sc2+3.Y3+3:21','Na5.25Al0.5Mg0.25Sc0.5Y0.75Si2PO12',0,'chgnet','00000002000000000000000000000003',0,2.93803176395294463052e-01,0.0348173965294311,-2.86000000000000031974e-01,'LCB','labelled','','2026-11-21 23:39:06.712123');
INSERT INTO "proposals" VALUES(7,'synthetic',2,1,'nzsp:Hf1+4.Sc2+3.Sn4+4.Zr1+4:14','Na3.5Hf0.25Sc0.5Sn1Zr0.25Si2PO12',0,'chgnet','00000002000000010000000000000003',3,2.88140262732065277617e-01,5.15058150695781868932e-02,-2.36000000000000015321e-01,'LCB','labelled','','2026-11-21 23:39:06.713907');
INSERT INTO "proposals" VALUES(8,'synthetic',2,2,'nzsp:Ge1+4.Hf2+4.Sc3+3.Y2+3:17','Na4.25Ge0.25Hf0.5Sc0.75Y0.5Si2PO12',0,'chgnet','00000002000000020000000000000003',5,0.24243497155178,4.10107196402207802021e-02,-0.258,'LCB','labelled','','2026-11-21 23:39:06.715578');
CREATE TABLE rounds (
	campaign VARCHAR(128) NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	summary TEXT NOT NULL, 
	metrics JSON NOT NULL, 
	prefect_run VARCHAR(64) NOT NULL, 
	started DATETIME NOT NULL, 
	ended DATETIME, 
	PRIMARY KEY (campaign, number), 
	FOREIGN KEY(campaign) REFERENCES campaigns (name)
);
INSERT INTO "rounds" VALUES('synthetic',0,'done','round 0: proposed 2','{}','','2026-11-21 23:39:06.268084','2026-11-21 23:39:06.461027');
INSERT INTO "rounds" VALUES('synthetic',1,'done','round 1: proposed 3','{"n_labels": 6, "mae_eV": 0.06999999999999999, "rmse_eV": 0.09, "mean_predictor_mae_eV": 0.05, "r2": 0.09999999999999998, "spearman": 0.19999999999999996, "nll": -0.7, "crps_eV": 0.04, "coverage_90": 0.75, "miscalibration_area": 0.2}','','2026-11-21 23:39:06.504998','2026-11-21 23:39:06.652482');
INSERT INTO "rounds" VALUES('synthetic',2,'done','round 2: proposed 3','{"n_labels": 12, "mae_eV": 0.04, "rmse_eV": 0.05, "mean_predictor_mae_eV": 0.05, "r2": 0.55, "spearman": 0.6, "nll": -0.9, "crps_eV": 0.02, "coverage_90": 0.7999999999999999, "miscalibration_area": 0.1}','','2026-11-21 23:39:06.700154','2026-11-21 23:39:06.801106');
CREATE TABLE synthesis_outcomes (
	id INTEGER NOT NULL, 
	campaign VARCHAR(128) NOT NULL, 
	composition VARCHAR(256) NOT NULL, 
	formula VARCHAR(256) NOT NULL, 
	outcome TEXT NOT NULL, 
	who VARCHAR(128) NOT NULL, 
	time DATETIME NOT NULL, 
	note TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(campaign) REFERENCES campaigns (name)
);
INSERT INTO "synthesis_outcomes" VALUES(1,'synthetic','nzsp:Al1+3.Mg5+2.Sn1+4.Zr1+4:23','Na5.75Al0.25Mg1.25Sn0.25Zr0.25Si2PO12','impurities','ada','2026-11-21 23:39:06.846239','900 °C, 12 h');
CREATE INDEX ix_labels_fidelity ON labels (fidelity);
CREATE INDEX ix_labels_composition ON labels (composition);
CREATE INDEX ix_events_campaign ON events (campaign, id);
CREATE INDEX ix_proposals_label ON proposals (label_key);
CREATE INDEX ix_proposals_composition ON proposals (campaign, composition);
CREATE INDEX ix_synthesis_outcomes ON synthesis_outcomes (campaign, composition);
CREATE INDEX ix_attempts_proposal ON attempts (proposal);
COMMIT;
