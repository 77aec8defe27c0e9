SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.attempts (
    id integer NOT NULL,
    proposal integer NOT NULL,
    label_key character varying(64) NOT NULL,
    calculator character varying(128) NOT NULL,
    state character varying(16) NOT NULL,
    failure_kind character varying(16) NOT NULL,
    failure_reason text NOT NULL,
    folder text NOT NULL,
    started timestamp without time zone NOT NULL,
    ended timestamp without time zone,
    seconds double precision
);
CREATE SEQUENCE public.attempts_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.attempts_id_seq OWNED BY public.attempts.id;
CREATE TABLE public.campaigns (
    name character varying(128) NOT NULL,
    host character varying(64) NOT NULL,
    target_fidelity character varying(64) NOT NULL,
    seed integer NOT NULL,
    config json NOT NULL,
    state character varying(16) NOT NULL,
    stop_reason text NOT NULL,
    created timestamp without time zone NOT NULL,
    ended timestamp without time zone,
    driven_s double precision NOT NULL
);
CREATE TABLE public.events (
    id integer NOT NULL,
    campaign character varying(128) NOT NULL,
    "time" timestamp without time zone NOT NULL,
    who character varying(128) NOT NULL,
    kind character varying(32) NOT NULL,
    text text NOT NULL,
    data json NOT NULL
);
CREATE SEQUENCE public.events_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;
CREATE TABLE public.labels (
    key character varying(64) NOT NULL,
    composition character varying(256) NOT NULL,
    ordering integer NOT NULL,
    fidelity character varying(64) NOT NULL,
    "value_eV" double precision,
    converged boolean NOT NULL,
    data json NOT NULL,
    created timestamp without time zone NOT NULL
);
CREATE TABLE public.meta (
    key character varying(64) NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.predictions (
    campaign character varying(128) NOT NULL,
    rank integer NOT NULL,
    round integer NOT NULL,
    composition character varying(256) NOT NULL,
    formula character varying(256) NOT NULL,
    cluster integer,
    "mean_eV" double precision NOT NULL,
    "sigma_eV" double precision,
    source character varying(16) NOT NULL,
    orderings integer NOT NULL
);
CREATE TABLE public.proposals (
    id integer NOT NULL,
    campaign character varying(128) NOT NULL,
    round integer NOT NULL,
    rank integer NOT NULL,
    composition character varying(256) NOT NULL,
    formula character varying(256) NOT NULL,
    ordering integer NOT NULL,
    calculator character varying(128) NOT NULL,
    label_key character varying(64) NOT NULL,
    cluster integer,
    "mean_eV" double precision,
    "sigma_eV" double precision,
    score double precision,
    reason text NOT NULL,
    state character varying(16) NOT NULL,
    prefect_run character varying(64) NOT NULL,
    created timestamp without time zone NOT NULL
);
CREATE SEQUENCE public.proposals_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.proposals_id_seq OWNED BY public.proposals.id;
CREATE TABLE public.rounds (
    campaign character varying(128) NOT NULL,
    number integer NOT NULL,
    state character varying(16) NOT NULL,
    summary text NOT NULL,
    metrics json NOT NULL,
    prefect_run character varying(64) NOT NULL,
    started timestamp without time zone NOT NULL,
    ended timestamp without time zone
);
CREATE TABLE public.synthesis_outcomes (
    id integer NOT NULL,
    campaign character varying(128) NOT NULL,
    composition character varying(256) NOT NULL,
    formula character varying(256) NOT NULL,
    outcome text NOT NULL,
    who character varying(128) NOT NULL,
    "time" timestamp without time zone NOT NULL,
    note text NOT NULL
);
CREATE SEQUENCE public.synthesis_outcomes_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.synthesis_outcomes_id_seq OWNED BY public.synthesis_outcomes.id;
ALTER TABLE ONLY public.attempts ALTER COLUMN id SET DEFAULT nextval('public.attempts_id_seq'::regclass);
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
ALTER TABLE ONLY public.proposals ALTER COLUMN id SET DEFAULT nextval('public.proposals_id_seq'::regclass);
ALTER TABLE ONLY public.synthesis_outcomes ALTER COLUMN id SET DEFAULT nextval('public.synthesis_outcomes_id_seq'::regclass);
INSERT INTO public.attempts VALUES (1, 1, '00000000000000000000000000000003', 'bvse', 'succeeded', '', '', 'campaigns/synthetic/labels/00000000000000000000000000000003', '2026-11-21 23:39:14.141097', '2026-11-21 23:39:14.160512', 0.013066241997876205);
INSERT INTO public.attempts VALUES (2, 2, '00000000000000010000000000000003', 'bvse', 'succeeded', '', '', 'campaigns/synthetic/labels/00000000000000010000000000000003', '2026-11-21 23:39:14.177815', '2026-11-21 23:39:14.186493', 0.006939468999917153);
INSERT INTO public.attempts VALUES (3, 3, '00000001000000000000000000000003', 'chgnet', 'succeeded', '', '', 'campaigns/synthetic/labels/00000001000000000000000000000003', '2026-11-21 23:39:14.236682', '2026-11-21 23:39:14.246182', 0.006174151996674482);
INSERT INTO public.attempts VALUES (4, 4, '00000001000000010000000000000003', 'chgnet', 'succeeded', '', '', 'campaigns/synthetic/labels/00000001000000010000000000000003', '2026-11-21 23:39:14.254422', '2026-11-21 23:39:14.261577', 0.006396436001523398);
INSERT INTO public.attempts VALUES (5, 5, '00000001000000020000000000000003', 'chgnet', 'succeeded', '', '', 'campaigns/synthetic/labels/00000001000000020000000000000003', '2026-11-21 23:39:14.268459', '2026-11-21 23:39:14.279676', 0.0059759930009022355);
INSERT INTO public.attempts VALUES (6, 6, '00000002000000000000000000000003', 'chgnet', 'succeeded', '', '', 'campaigns/synthetic/labels/00000002000000000000000000000003', '2026-11-21 23:39:14.392079', '2026-11-21 23:39:14.397965', 0.003741787004400976);
INSERT INTO public.attempts VALUES (7, 7, '00000002000000010000000000000003', 'chgnet', 'succeeded', '', '', 'campaigns/synthetic/labels/00000002000000010000000000000003', '2026-11-21 23:39:14.413382', '2026-11-21 23:39:14.424636', 0.009682743999292143);
INSERT INTO public.attempts VALUES (8, 8, '00000002000000020000000000000003', 'chgnet', 'succeeded', '', '', 'campaigns/synthetic/labels/00000002000000020000000000000003', '2026-11-21 23:39:14.438401', '2026-11-21 23:39:14.452258', 0.006171766995976213);
INSERT INTO public.attempts VALUES (9, 5, '00000001000000020000000000000003', 'chgnet', 'running', '', '', 'campaigns/synthetic/labels/x', '2026-11-21 23:39:14.545137', NULL, NULL);
INSERT INTO public.campaigns VALUES ('synthetic', 'nzsp', 'chgnet-neb', 3, '{"campaign": {"name": "synthetic", "rounds": 2, "batch": 3, "host": "nzsp"}, "stopping": {"target_eV": 0.28, "max_rounds": 2}, "label": {"calculators": ["chgnet", "bvse"]}}', 'running', '', '2026-11-21 23:39:14.024501', NULL, 0);
INSERT INTO public.events VALUES (1, 'synthetic', '2026-11-21 23:39:14.1206', 'ionloop', 'decision', 'round 0: proposed 2', '{"round": 0}');
INSERT INTO public.events VALUES (2, 'synthetic', '2026-11-21 23:39:14.201839', 'ionloop', 'decision', 'round 0: pre-trained on synthetic cheap labels', '{}');
INSERT INTO public.events VALUES (3, 'synthetic', '2026-11-21 23:39:14.226034', 'ionloop', 'decision', 'round 1: proposed 3', '{"round": 1}');
INSERT INTO public.events VALUES (4, 'synthetic', '2026-11-21 23:39:14.32714', 'ionloop', 'decision', 'round 1: retrained on 3 labels', '{}');
INSERT INTO public.events VALUES (5, 'synthetic', '2026-11-21 23:39:14.374064', 'ionloop', 'decision', 'round 2: proposed 3', '{"round": 2}');
INSERT INTO public.events VALUES (6, 'synthetic', '2026-11-21 23:39:14.496643', 'ionloop', 'decision', 'round 2: retrained on 6 labels', '{}');
INSERT INTO public.events VALUES (7, 'synthetic', '2026-11-21 23:39:14.527275', 'ada', 'add-outcome', 'ada: Na5.75Al0.25Mg1.25Sn0.25Zr0.25Si2PO12 was made, with the outcome impurities (900 °C, 12 h)', '{}');
INSERT INTO public.labels VALUES ('00000000000000000000000000000003', 'nzsp:Ge3+4.Sc1+3.Sn3+4.Ti1+4:13', 0, 'bvse', 0.863218125174025, true, '{"key": "00000000000000000000000000000003", "fidelity": "bvse", "value_eV": 0.863218125174025, "converged": true, "hops": [], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000000000000000000000000000003"}', '2026-11-21 23:39:14.165819');
INSERT INTO public.labels VALUES ('00000000000000010000000000000003', 'nzsp:Al3+3.Mg2+2.Nb2+5.Y1+3:18', 0, 'bvse', 0.8593409600433385, true, '{"key": "00000000000000010000000000000003", "fidelity": "bvse", "value_eV": 0.8593409600433385, "converged": true, "hops": [], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000000000000010000000000000003"}', '2026-11-21 23:39:14.189255');
INSERT INTO public.labels VALUES ('00000001000000000000000000000003', 'nzsp:Al2+3.Sc1+3.Y3+3.Zr2+4:18', 0, 'chgnet-neb', 0.33428090756316353, true, '{"key": "00000001000000000000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.33428090756316353, "converged": true, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.33626867959303725, "backward_eV": 0.3322931355332898, "reaction_energy_eV": 0.003975544059747447, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.08423281756741545, 0.2520358620256218, 0.33626867959303725, 0.253361043378871, 0.08688318027391387, 0.003975544059747447], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.4070875162888306, "backward_eV": 0.36147429883749643, "reaction_energy_eV": 0.04561321745133416, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.10367242979934654, 0.303415086489484, 0.4070875162888306, 0.3186194923065955, 0.13408124143356948, 0.04561321745133416], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000001000000000000000000000003"}', '2026-11-21 23:39:14.247644');
INSERT INTO public.labels VALUES ('00000001000000010000000000000003', 'nzsp:Al1+3.Mg5+2.Sn1+4.Zr1+4:23', 0, 'chgnet-neb', 0.27288406250291575, true, '{"key": "00000001000000010000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.27288406250291575, "converged": true, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.2790960262350799, "backward_eV": 0.26667209877075154, "reaction_energy_eV": 0.012423927464328332, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.07029167020311698, 0.2088043560319629, 0.2790960262350799, 0.21294566518673905, 0.07857428851266932, 0.012423927464328332], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.31111763291871836, "backward_eV": 0.3346504920871131, "reaction_energy_eV": -0.023532859168394763, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.07679887243099646, 0.23431876048772185, 0.31111763291871836, 0.226474474098257, 0.06111029965206674, -0.023532859168394763], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000001000000010000000000000003"}', '2026-11-21 23:39:14.263669');
INSERT INTO public.labels VALUES ('00000001000000020000000000000003', 'nzsp:Al1+3.Nb1+5.Sn3+4.Ti3+4:12', 0, 'chgnet-neb', 0.3325694498567308, true, '{"key": "00000001000000020000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.3325694498567308, "converged": true, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.3232196872380433, "backward_eV": 0.3419192124754183, "reaction_energy_eV": -0.018699525237375003, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.0800257749246202, 0.24319391231342308, 0.3232196872380433, 0.23696073723429814, 0.06755942476637031, -0.018699525237375003], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.3752724971748983, "backward_eV": 0.3898664025385633, "reaction_energy_eV": -0.014593905363664988, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.09321004490357185, 0.2820624522713264, 0.3752724971748983, 0.27719781715010483, 0.08348077466112867, -0.014593905363664988], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000001000000020000000000000003"}', '2026-11-21 23:39:14.285244');
INSERT INTO public.labels VALUES ('00000002000000000000000000000003', 'nzsp:Al2+3.Mg1+2.Sc2+3.Y3+3:21', 0, 'chgnet-neb', 0.2806206661580325, false, '{"key": "00000002000000000000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.2806206661580325, "converged": false, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.2864274278836484, "backward_eV": 0.2748139044324166, "reaction_energy_eV": 0.0116135234512318, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.07209075378138008, 0.21433667410226828, 0.2864274278836484, 0.21820784858601228, 0.07983310274886805, 0.0116135234512318], "converged": false, "fmax_eV_per_A": 0.21, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.34408561789614767, "backward_eV": 0.31715571441991725, "reaction_energy_eV": 0.0269299034762304, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.08714348378554651, 0.25694213411060113, 0.34408561789614767, 0.265918768602678, 0.10509675276970024, 0.0269299034762304], "converged": false, "fmax_eV_per_A": 0.21, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000002000000000000000000000003"}', '2026-11-21 23:39:14.405636');
INSERT INTO public.labels VALUES ('00000002000000010000000000000003', 'nzsp:Hf1+4.Sc2+3.Sn4+4.Zr1+4:14', 0, 'chgnet-neb', 0.23474121467328332, true, '{"key": "00000002000000010000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.23474121467328332, "converged": true, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.23772692047825403, "backward_eV": 0.23175550886831264, "reaction_energy_eV": 0.005971411609941388, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.05968053893664438, 0.1780463815416096, 0.23772692047825403, 0.18003685207825676, 0.06366148000993872, 0.005971411609941388], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.2926319750021674, "backward_eV": 0.27685045434439925, "reaction_energy_eV": 0.01578152065776814, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.07381555711128218, 0.21881641789088518, 0.2926319750021674, 0.22407692477680796, 0.08433657088312771, 0.01578152065776814], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000002000000010000000000000003"}', '2026-11-21 23:39:14.427944');
INSERT INTO public.labels VALUES ('00000002000000020000000000000003', 'nzsp:Ge1+4.Hf2+4.Sc3+3.Y2+3:17', 0, 'chgnet-neb', 0.2691286343349987, true, '{"key": "00000002000000020000000000000003", "fidelity": "chgnet-neb", "value_eV": 0.2691286343349987, "converged": true, "hops": [{"atom": 0, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.26532385851538814, "backward_eV": 0.27293341015460915, "reaction_energy_eV": -0.007609551639221016, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.06601389997721283, 0.1993099585381753, 0.26532385851538814, 0.1967734413251017, 0.06094086555106557, -0.007609551639221016], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}, {"atom": 1, "target_A": [1.0, 2.0, 3.0], "length_A": 3.4, "name": "Na1-Na2", "forward_eV": 0.3097047438960081, "backward_eV": 0.3285525247739892, "reaction_energy_eV": -0.01884778087798114, "path_A": [0.0, 0.5666666666666667, 1.1333333333333333, 1.7, 2.2666666666666666, 2.833333333333333, 3.4], "path_eV": [0.0, 0.0766408617707528, 0.23306388212525525, 0.3097047438960081, 0.2267812884992616, 0.06407567451876549, -0.01884778087798114], "converged": true, "fmax_eV_per_A": 0.04, "steps": 30, "force_calls": 150}], "decisive": null, "extra": {}, "force_calls": 340, "seconds": {"relax": 40.0, "neb": 60.0}, "provenance": {"versions": {"ase": "3.29.0"}, "note": "synthetic"}, "failure": null, "folder": "campaigns/synthetic/labels/00000002000000020000000000000003"}', '2026-11-21 23:39:14.454528');
INSERT INTO public.meta VALUES ('schema_version', '2');
INSERT INTO public.predictions VALUES ('synthetic', 1, 2, 'nzsp:Ge1+4.Mg2+2.Sc4+3.Sn1+4:20', 'Na5Ge0.25Mg0.5Sc1Sn0.25Si2PO12', 1, 0.22561900402822554, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 2, 2, 'nzsp:Hf1+4.Sc2+3.Sn4+4.Zr1+4:14', 'Na3.5Hf0.25Sc0.5Sn1Zr0.25Si2PO12', 3, 0.23474121467328332, 0, 'label', 1);
INSERT INTO public.predictions VALUES ('synthetic', 3, 2, 'nzsp:Mg3+2.Sn1+4.Y3+3.Zr1+4:21', 'Na5.25Mg0.75Sn0.25Y0.75Zr0.25Si2PO12', 0, 0.2609955781065178, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 4, 2, 'nzsp:Mg2+2.Sc1+3.Sn1+4.Zr4+4:17', 'Na4.25Mg0.5Sc0.25Sn0.25Zr1Si2PO12', 3, 0.2649897684360803, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 5, 2, 'nzsp:Mg3+2.Sc1+3.Ti2+4.Y2+3:21', 'Na5.25Mg0.75Sc0.25Ti0.5Y0.5Si2PO12', 4, 0.26580776171219306, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 6, 2, 'nzsp:Hf3+4.Mg1+2.Nb2+5.Sc2+3:14', 'Na3.5Hf0.75Mg0.25Nb0.5Sc0.5Si2PO12', 4, 0.26846692723766935, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 7, 2, 'nzsp:Ge1+4.Hf2+4.Sc3+3.Y2+3:17', 'Na4.25Ge0.25Hf0.5Sc0.75Y0.5Si2PO12', 5, 0.2691286343349987, 0, 'label', 1);
INSERT INTO public.predictions VALUES ('synthetic', 8, 2, 'nzsp:Al1+3.Mg5+2.Sn1+4.Zr1+4:23', 'Na5.75Al0.25Mg1.25Sn0.25Zr0.25Si2PO12', 0, 0.27288406250291575, 0, 'label', 1);
INSERT INTO public.predictions VALUES ('synthetic', 9, 2, 'nzsp:Al1+3.Mg1+2.Sc4+3.Ta2+5:17', 'Na4.25Al0.25Mg0.25Sc1Ta0.5Si2PO12', 2, 0.27781461540453345, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 10, 2, 'nzsp:Al1+3.Hf1+4.Sn3+4.Y3+3:16', 'Na4Al0.25Hf0.25Sn0.75Y0.75Si2PO12', 5, 0.2807547842697483, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 11, 2, 'nzsp:Al1+3.Sc1+3.Sn5+4.Ta1+5:13', 'Na3.25Al0.25Sc0.25Sn1.25Ta0.25Si2PO12', 3, 0.2836192164641732, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 12, 2, 'nzsp:Ge1+4.Sn5+4.Ti1+4.Zr1+4:12', 'Na3Ge0.25Sn1.25Ti0.25Zr0.25Si2PO12', 2, 0.2850751391545235, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 13, 2, 'nzsp:Hf2+4.Nb1+5.Sc3+3.Ta2+5:12', 'Na3Hf0.5Nb0.25Sc0.75Ta0.5Si2PO12', 5, 0.2865839426359313, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 14, 2, 'nzsp:Nb1+5.Sc3+3.Ta1+5.Zr3+4:13', 'Na3.25Nb0.25Sc0.75Ta0.25Zr0.75Si2PO12', 5, 0.29242631191962554, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 15, 2, 'nzsp:Ge3+4.Mg2+2.Sc1+3.Sn2+4:17', 'Na4.25Ge0.75Mg0.5Sc0.25Sn0.5Si2PO12', 1, 0.29600496353747147, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 16, 2, 'nzsp:Al1+3.Ge1+4.Mg3+2.Y3+3:22', 'Na5.5Al0.25Ge0.25Mg0.75Y0.75Si2PO12', 2, 0.2990540886813238, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 17, 2, 'nzsp:Ge3+4.Hf1+4.Sc3+3.Sn1+4:15', 'Na3.75Ge0.75Hf0.25Sc0.75Sn0.25Si2PO12', 1, 0.3035565178006407, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 18, 2, 'nzsp:Hf3+4.Sc2+3.Ta2+5.Ti1+4:12', 'Na3Hf0.75Sc0.5Ta0.5Ti0.25Si2PO12', 0, 0.30877032479040006, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 19, 2, 'nzsp:Al1+3.Nb3+5.Sn3+4.Y1+3:11', 'Na2.75Al0.25Nb0.75Sn0.75Y0.25Si2PO12', 1, 0.3096034074391545, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 20, 2, 'nzsp:Sc1+3.Sn2+4.Ta2+5.Zr3+4:11', 'Na2.75Sc0.25Sn0.5Ta0.5Zr0.75Si2PO12', 4, 0.31143259046345656, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 21, 2, 'nzsp:Ge1+4.Mg2+2.Nb2+5.Zr3+4:14', 'Na3.5Ge0.25Mg0.5Nb0.5Zr0.75Si2PO12', 0, 0.31457067389048543, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 22, 2, 'nzsp:Ge2+4.Hf2+4.Sn2+4.Zr2+4:12', 'Na3Ge0.5Hf0.5Sn0.5Zr0.5Si2PO12', 5, 0.3220444170224964, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 23, 2, 'nzsp:Mg1+2.Nb4+5.Ti1+4.Y2+3:12', 'Na3Mg0.25Nb1Ti0.25Y0.5Si2PO12', 4, 0.32375000817524147, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 24, 2, 'nzsp:Al2+3.Hf2+4.Mg3+2.Zr1+4:20', 'Na5Al0.5Hf0.5Mg0.75Zr0.25Si2PO12', 5, 0.3283766520984188, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 25, 2, 'nzsp:Ge3+4.Nb1+5.Sn3+4.Ta1+5:10', 'Na2.5Ge0.75Nb0.25Sn0.75Ta0.25Si2PO12', 2, 0.3295775202637837, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 26, 2, 'nzsp:Sn1+4.Ta1+5.Ti2+4.Zr4+4:11', 'Na2.75Sn0.25Ta0.25Ti0.5Zr1Si2PO12', 5, 0.3299347123199649, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 27, 2, 'nzsp:Al1+3.Nb1+5.Sn3+4.Ti3+4:12', 'Na3Al0.25Nb0.25Sn0.75Ti0.75Si2PO12', 5, 0.3325694498567308, 0, 'label', 1);
INSERT INTO public.predictions VALUES ('synthetic', 28, 2, 'nzsp:Al2+3.Sc1+3.Y3+3.Zr2+4:18', 'Na4.5Al0.5Sc0.25Y0.75Zr0.5Si2PO12', 0, 0.33428090756316353, 0, 'label', 1);
INSERT INTO public.predictions VALUES ('synthetic', 29, 2, 'nzsp:Mg1+2.Nb3+5.Ti2+4.Zr2+4:11', 'Na2.75Mg0.25Nb0.75Ti0.5Zr0.5Si2PO12', 5, 0.34045416049275784, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 30, 2, 'nzsp:Al2+3.Nb1+5.Ti1+4.Y4+3:17', 'Na4.25Al0.5Nb0.25Ti0.25Y1Si2PO12', 3, 0.34112890525334916, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 31, 2, 'nzsp:Al1+3.Hf3+4.Ti1+4.Zr3+4:13', 'Na3.25Al0.25Hf0.75Ti0.25Zr0.75Si2PO12', 2, 0.34219974664218733, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 32, 2, 'nzsp:Ge2+4.Hf1+4.Sc2+3.Ti3+4:14', 'Na3.5Ge0.5Hf0.25Sc0.5Ti0.75Si2PO12', 3, 0.344294949602352, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 33, 2, 'nzsp:Ta2+5.Ti1+4.Y3+3.Zr2+4:13', 'Na3.25Ta0.5Ti0.25Y0.75Zr0.5Si2PO12', 3, 0.34677320084219065, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 34, 2, 'nzsp:Ge3+4.Hf1+4.Mg3+2.Ti1+4:18', 'Na4.5Ge0.75Hf0.25Mg0.75Ti0.25Si2PO12', 1, 0.34824211807763367, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 35, 2, 'nzsp:Al1+3.Ge1+4.Hf1+4.Zr5+4:13', 'Na3.25Al0.25Ge0.25Hf0.25Zr1.25Si2PO12', 3, 0.34870934166051104, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 36, 2, 'nzsp:Al1+3.Nb2+5.Sn3+4.Ta2+5:9', 'Na2.25Al0.25Nb0.5Sn0.75Ta0.5Si2PO12', 3, 0.34948326398332746, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 37, 2, 'nzsp:Al1+3.Ge2+4.Sc2+3.Ti3+4:15', 'Na3.75Al0.25Ge0.5Sc0.5Ti0.75Si2PO12', 2, 0.353243149661887, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 38, 2, 'nzsp:Ge2+4.Hf2+4.Ta1+5.Y3+3:14', 'Na3.5Ge0.5Hf0.5Ta0.25Y0.75Si2PO12', 4, 0.35528510149498044, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 39, 2, 'nzsp:Hf2+4.Mg1+2.Ta4+5.Zr1+4:10', 'Na2.5Hf0.5Mg0.25Ta1Zr0.25Si2PO12', 1, 0.3563118019002748, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 40, 2, 'nzsp:Al1+3.Sn2+4.Ti4+4.Zr1+4:13', 'Na3.25Al0.25Sn0.5Ti1Zr0.25Si2PO12', 3, 0.35642221929577367, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 41, 2, 'nzsp:Al2+3.Nb1+5.Sn1+4.Zr4+4:13', 'Na3.25Al0.5Nb0.25Sn0.25Zr1Si2PO12', 2, 0.3569363777646537, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 42, 2, 'nzsp:Nb1+5.Sn2+4.Ta4+5.Zr1+4:7', 'Na1.75Nb0.25Sn0.5Ta1Zr0.25Si2PO12', 4, 0.3578250493041558, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 43, 2, 'nzsp:Al3+3.Hf2+4.Ti1+4.Y2+3:17', 'Na4.25Al0.75Hf0.5Ti0.25Y0.5Si2PO12', 1, 0.3582628537780486, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 44, 2, 'nzsp:Al4+3.Sc1+3.Sn1+4.Zr2+4:17', 'Na4.25Al1Sc0.25Sn0.25Zr0.5Si2PO12', 2, 0.3602226824884051, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 45, 2, 'nzsp:Al3+3.Hf3+4.Sc1+3.Y1+3:17', 'Na4.25Al0.75Hf0.75Sc0.25Y0.25Si2PO12', 0, 0.36188816868268164, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 46, 2, 'nzsp:Ge4+4.Hf1+4.Y1+3.Zr2+4:13', 'Na3.25Ge1Hf0.25Y0.25Zr0.5Si2PO12', 3, 0.3626814749277036, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 47, 2, 'nzsp:Mg1+2.Nb1+5.Sn1+4.Ta5+5:8', 'Na2Mg0.25Nb0.25Sn0.25Ta1.25Si2PO12', 4, 0.3645244430747526, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 48, 2, 'nzsp:Hf1+4.Ta3+5.Ti1+4.Zr3+4:9', 'Na2.25Hf0.25Ta0.75Ti0.25Zr0.75Si2PO12', 4, 0.3716503259415537, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 49, 2, 'nzsp:Ge3+4.Hf1+4.Nb3+5.Sn1+4:9', 'Na2.25Ge0.75Hf0.25Nb0.75Sn0.25Si2PO12', 1, 0.372773815122949, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 50, 2, 'nzsp:Ge3+4.Hf3+4.Ti1+4.Y1+3:13', 'Na3.25Ge0.75Hf0.75Ti0.25Y0.25Si2PO12', 0, 0.3741903946678068, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 51, 2, 'nzsp:Ge2+4.Nb3+5.Ta2+5.Zr1+4:7', 'Na1.75Ge0.5Nb0.75Ta0.5Zr0.25Si2PO12', 1, 0.3875806217004444, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 52, 2, 'nzsp:Ge5+4.Nb1+5.Sc1+3.Ti1+4:12', 'Na3Ge1.25Nb0.25Sc0.25Ti0.25Si2PO12', 5, 0.3878629573829864, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 53, 2, 'nzsp:Al1+3.Ge4+4.Hf2+4.Ti1+4:13', 'Na3.25Al0.25Ge1Hf0.5Ti0.25Si2PO12', 0, 0.3974596153205632, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 54, 2, 'nzsp:Al4+3.Sn1+4.Ta1+5.Ti2+4:15', 'Na3.75Al1Sn0.25Ta0.25Ti0.5Si2PO12', 4, 0.41027908164519733, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 55, 2, 'nzsp:Al3+3.Ge2+4.Ta2+5.Y1+3:14', 'Na3.5Al0.75Ge0.5Ta0.5Y0.25Si2PO12', 3, 0.4192507660780852, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 56, 2, 'nzsp:Al5+3.Ge1+4.Nb1+5.Sn1+4:16', 'Na4Al1.25Ge0.25Nb0.25Sn0.25Si2PO12', 0, 0.4305522324071027, 0.03, 'prediction', 4);
INSERT INTO public.predictions VALUES ('synthetic', 57, 2, 'nzsp:Al5+3.Ge1+4.Nb1+5.Ti1+4:16', 'Na4Al1.25Ge0.25Nb0.25Ti0.25Si2PO12', 2, 0.461016054467552, 0.03, 'prediction', 4);
INSERT INTO public.proposals VALUES (1, 'synthetic', 0, 0, 'nzsp:Ge3+4.Sc1+3.Sn3+4.Ti1+4:13', 'Na3.25Ge0.75Sc0.25Sn0.75Ti0.25Si2PO12', 0, 'bvse', '00000000000000000000000000000003', 4, NULL, NULL, NULL, 'cheap label for pre-training', 'labelled', '', '2026-11-21 23:39:14.101326');
INSERT INTO public.proposals VALUES (2, 'synthetic', 0, 1, 'nzsp:Al3+3.Mg2+2.Nb2+5.Y1+3:18', 'Na4.5Al0.75Mg0.5Nb0.5Y0.25Si2PO12', 0, 'bvse', '00000000000000010000000000000003', 0, NULL, NULL, NULL, 'cheap label for pre-training', 'labelled', '', '2026-11-21 23:39:14.122535');
INSERT INTO public.proposals VALUES (3, 'synthetic', 1, 0, 'nzsp:Al2+3.Sc1+3.Y3+3.Zr2+4:18', 'Na4.5Al0.5Sc0.25Y0.75Zr0.5Si2PO12', 0, 'chgnet', '00000001000000000000000000000003', 0, NULL, NULL, NULL, 'spread over clusters', 'labelled', '', '2026-11-21 23:39:14.217761');
INSERT INTO public.proposals VALUES (4, 'synthetic', 1, 1, 'nzsp:Al1+3.Mg5+2.Sn1+4.Zr1+4:23', 'Na5.75Al0.25Mg1.25Sn0.25Zr0.25Si2PO12', 0, 'chgnet', '00000001000000010000000000000003', 0, NULL, NULL, NULL, 'spread over clusters', 'labelled', '', '2026-11-21 23:39:14.220729');
INSERT INTO public.proposals VALUES (5, 'synthetic', 1, 2, 'nzsp:Al1+3.Nb1+5.Sn3+4.Ti3+4:12', 'Na3Al0.25Nb0.25Sn0.75Ti0.75Si2PO12', 0, 'chgnet', '00000001000000020000000000000003', 5, NULL, NULL, NULL, 'spread over clusters', 'labelled', '', '2026-11-21 23:39:14.226956');
INSERT INTO public.proposals VALUES (6, 'synthetic', 2, 0, 'nzsp:Al2+3.Mg1+2.Sc2+3.Y3+3:21', 'Na5.25Al0.5Mg0.25Sc0.5Y0.75Si2PO12', 0, 'chgnet', '00000002000000000000000000000003', 0, 0.29380317639529446, 0.0348173965294311, -0.28600000000000003, 'LCB', 'labelled', '', '2026-11-21 23:39:14.364414');
INSERT INTO public.proposals VALUES (7, 'synthetic', 2, 1, 'nzsp:Hf1+4.Sc2+3.Sn4+4.Zr1+4:14', 'Na3.5Hf0.25Sc0.5Sn1Zr0.25Si2PO12', 0, 'chgnet', '00000002000000010000000000000003', 3, 0.2881402627320653, 0.05150581506957819, -0.23600000000000002, 'LCB', 'labelled', '', '2026-11-21 23:39:14.36858');
INSERT INTO public.proposals VALUES (8, 'synthetic', 2, 2, 'nzsp:Ge1+4.Hf2+4.Sc3+3.Y2+3:17', 'Na4.25Ge0.25Hf0.5Sc0.75Y0.5Si2PO12', 0, 'chgnet', '00000002000000020000000000000003', 5, 0.24243497155178, 0.04101071964022078, -0.258, 'LCB', 'labelled', '', '2026-11-21 23:39:14.374986');
INSERT INTO public.rounds VALUES ('synthetic', 0, 'done', 'round 0: proposed 2', '{}', '', '2026-11-21 23:39:14.066226', '2026-11-21 23:39:14.191974');
INSERT INTO public.rounds VALUES ('synthetic', 1, 'done', 'round 1: proposed 3', '{"n_labels": 6, "mae_eV": 0.06999999999999999, "rmse_eV": 0.09, "mean_predictor_mae_eV": 0.05, "r2": 0.09999999999999998, "spearman": 0.19999999999999996, "nll": -0.7, "crps_eV": 0.04, "coverage_90": 0.75, "miscalibration_area": 0.2}', '', '2026-11-21 23:39:14.209684', '2026-11-21 23:39:14.308805');
INSERT INTO public.rounds VALUES ('synthetic', 2, 'done', 'round 2: proposed 3', '{"n_labels": 12, "mae_eV": 0.04, "rmse_eV": 0.05, "mean_predictor_mae_eV": 0.05, "r2": 0.55, "spearman": 0.6, "nll": -0.9, "crps_eV": 0.02, "coverage_90": 0.7999999999999999, "miscalibration_area": 0.1}', '', '2026-11-21 23:39:14.354555', '2026-11-21 23:39:14.474067');
INSERT INTO public.synthesis_outcomes VALUES (1, 'synthetic', 'nzsp:Al1+3.Mg5+2.Sn1+4.Zr1+4:23', 'Na5.75Al0.25Mg1.25Sn0.25Zr0.25Si2PO12', 'impurities', 'ada', '2026-11-21 23:39:14.534169', '900 °C, 12 h');
SELECT pg_catalog.setval('public.attempts_id_seq', 9, true);
SELECT pg_catalog.setval('public.events_id_seq', 7, true);
SELECT pg_catalog.setval('public.proposals_id_seq', 8, true);
SELECT pg_catalog.setval('public.synthesis_outcomes_id_seq', 1, true);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.campaigns
    ADD CONSTRAINT campaigns_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.labels
    ADD CONSTRAINT labels_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.predictions
    ADD CONSTRAINT predictions_pkey PRIMARY KEY (campaign, rank);
ALTER TABLE ONLY public.proposals
    ADD CONSTRAINT proposals_campaign_round_rank_key UNIQUE (campaign, round, rank);
ALTER TABLE ONLY public.proposals
    ADD CONSTRAINT proposals_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rounds
    ADD CONSTRAINT rounds_pkey PRIMARY KEY (campaign, number);
ALTER TABLE ONLY public.synthesis_outcomes
    ADD CONSTRAINT synthesis_outcomes_pkey PRIMARY KEY (id);
CREATE INDEX ix_attempts_proposal ON public.attempts USING btree (proposal);
CREATE INDEX ix_events_campaign ON public.events USING btree (campaign, id);
CREATE INDEX ix_labels_composition ON public.labels USING btree (composition);
CREATE INDEX ix_labels_fidelity ON public.labels USING btree (fidelity);
CREATE INDEX ix_proposals_composition ON public.proposals USING btree (campaign, composition);
CREATE INDEX ix_proposals_label ON public.proposals USING btree (label_key);
CREATE INDEX ix_synthesis_outcomes ON public.synthesis_outcomes USING btree (campaign, composition);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_proposal_fkey FOREIGN KEY (proposal) REFERENCES public.proposals(id);
ALTER TABLE ONLY public.predictions
    ADD CONSTRAINT predictions_campaign_fkey FOREIGN KEY (campaign) REFERENCES public.campaigns(name);
ALTER TABLE ONLY public.proposals
    ADD CONSTRAINT proposals_campaign_fkey FOREIGN KEY (campaign) REFERENCES public.campaigns(name);
ALTER TABLE ONLY public.rounds
    ADD CONSTRAINT rounds_campaign_fkey FOREIGN KEY (campaign) REFERENCES public.campaigns(name);
ALTER TABLE ONLY public.synthesis_outcomes
    ADD CONSTRAINT synthesis_outcomes_campaign_fkey FOREIGN KEY (campaign) REFERENCES public.campaigns(name);
