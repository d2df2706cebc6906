# Stands in for the Tcl of Vivado and of Vitis HLS: records every command of a script, answers as the
# tools do where the script goes on with the answer, and refuses commands, options and files that do
# not exist.
#
#   tclsh vendor.tcl RECORD TOOL BUSES SCRIPT ARGUMENT...
#
# RECORD gets a line per command, its words separated by the character 31. BUSES are the buses that the
# packager is to find.
lassign $argv record_path tool vendor_buses script
set argv [lrange $argv 4 end]
set vendor_record [open $record_path w]
fconfigure $vendor_record -translation lf

proc note {args} {
    puts $::vendor_record [join [string map [list "\n" " "] $args] \x1f]
    flush $::vendor_record
}

rename exit leave
proc exit {{code 0}} {
    note exit $code
    leave $code
}
rename unknown {}
proc unknown {args} { error "no such command: [lindex $args 0]" }
# Nothing but the tools' own commands: a script that starts programs is not portable.
foreach name {exec socket} { rename $name {} }

# Defines a command: options with the number of their values, fewest and most words beside them.
proc vendor {name options least most {answer {}}} {
    proc ::$name {args} [string map [list @NAME $name @OPTIONS $options @LEAST $least @MOST $most @ANSWER $answer] {
        array set options {@OPTIONS}
        array set given {}
        set words {}
        for {set i 0} {$i < [llength $args]} {incr i} {
            set word [lindex $args $i]
            if {[regexp {^-[a-zA-Z]} $word]} {
                if {![info exists options($word)]} { error "@NAME: no option $word" }
                set given($word) 1
                if {$options($word)} {
                    incr i
                    if {$i >= [llength $args]} { error "@NAME: $word needs a value" }
                    set given($word) [lindex $args $i]
                }
            } else { lappend words $word }
        }
        if {[llength $words] < @LEAST || [llength $words] > @MOST} { error "@NAME: [llength $words] words" }
        note @NAME {*}$args
        @ANSWER
    }]
}

proc must_exist {files} {
    foreach file $files { if {![file exists $file]} { error "no such file: $file" } }
}

proc leave_file {path text} {
    file mkdir [file dirname $path]
    set file [open $path w]
    puts $file $text
    close $file
}

set several 1000
if {$tool eq "vivado"} {
    set vendor_catalogue {
        xilinx.com:ip:zynq_ultra_ps_e:3.5 xilinx.com:ip:smartconnect:1.0 xilinx.com:ip:proc_sys_reset:5.0
        xilinx.com:ip:axi_intc:4.1
    }
    set vendor_boards {
        xilinx.com:zcu102:part0:3.3 xilinx.com:zcu102:part0:3.4 xilinx.com:zcu104:part0:1.1
        xilinx.com:kv260_som:part0:1.4 avnet.com:ultra96v2:part0:1.2 avnet-tria:ultra96v2:part0:1.3
    }
    vendor create_project {-force 0 -part 1} 1 2 { file mkdir [lindex $words 1] }
    vendor current_project {} 0 0 { return project }
    vendor close_project {} 0 0
    vendor current_fileset {} 0 0 { return sources_1 }
    vendor add_files {-norecurse 0 -fileset 1} 1 $several { must_exist [concat {*}$words] }
    vendor update_compile_order {-fileset 1} 0 0
    vendor update_ip_catalog {-rebuild 0} 0 0
    vendor get_board_parts {-quiet 0} 1 1 { return [lsearch -all -inline -glob $::vendor_boards [lindex $words 0]] }
    vendor get_ipdefs {} 1 1 { return [lsearch -all -inline -glob $::vendor_catalogue [lindex $words 0]] }
    vendor get_property {} 2 2 { return [lindex $words 1] }
    # A dictionary becomes a record per property.
    proc set_property {args} {
        if {[lindex $args 0] eq "-dict"} {
            if {[llength $args] != 3} { error "set_property: -dict takes a list and an object" }
            foreach {name value} [lindex $args 1] { set_property $name $value [lindex $args 2] }
            return
        }
        if {[llength $args] != 3} { error "set_property: [llength $args] words" }
        if {[lindex $args 2] eq ""} { error "set_property: no object" }
        note set_property {*}$args
    }
    vendor create_bd_design {} 1 1
    vendor create_bd_cell {-type 1 -vlnv 1 -reference 1} 1 1 { return [lindex $words 0] }
    vendor apply_bd_automation {-rule 1 -config 1} 1 1
    vendor get_bd_cells {} 1 1 { return [lindex $words 0] }
    vendor get_bd_pins {} 1 1 { return [lindex $words 0] }
    vendor get_bd_intf_pins {} 1 1 { return [lindex $words 0] }
    vendor get_bd_addr_spaces {} 1 1 { return [lindex $words 0] }
    vendor get_bd_addr_segs {} 1 1 { return [lindex $words 0] }
    vendor connect_bd_net {} 2 $several
    vendor connect_bd_intf_net {} 2 2
    vendor assign_bd_address {-offset 1 -range 1 -target_address_space 1} 0 1
    vendor validate_bd_design {} 0 0
    vendor save_bd_design {} 0 0
    vendor get_files {} 1 1 { return [lindex $words 0] }
    vendor generate_target {} 2 2 {
        set name [file rootname [lindex $words 1]]
        leave_file vit/vit.gen/sources_1/bd/$name/hw_handoff/$name.hwh "description of $name"
    }
    vendor make_wrapper {-files 1 -top 0} 0 0 {
        set path vit/vit.gen/[file rootname $given(-files)]_wrapper.v
        leave_file $path ""
        return $path
    }
    vendor synth_design {-top 1 -part 1} 0 0
    foreach name {opt_design place_design phys_opt_design route_design} { vendor $name {} 0 0 }
    vendor report_utilization {-file 1 -hierarchical 0} 0 0 { leave_file $given(-file) report }
    vendor report_timing_summary {-file 1} 0 0 { leave_file $given(-file) report }
    vendor write_checkpoint {-force 0} 1 1
    vendor write_bitstream {-force 0} 1 1 { leave_file [lindex $words 0] bits }

    namespace eval ipx {}
    vendor ipx::package_project {-root_dir 1 -vendor 1 -library 1 -taxonomy 1 -import_files 0 -set_current 1} 0 0 {
        leave_file $given(-root_dir)/component.xml ""
    }
    vendor ipx::current_core {} 0 0 { return core }
    vendor ipx::get_bus_interfaces {-quiet 0 -of_objects 1} 1 1 {
        if {[lindex $words 0] in $::vendor_buses} { return bus:[lindex $words 0] }
    }
    vendor ipx::associate_bus_interfaces {-busif 1 -clock 1 -reset 1} 1 1
    vendor ipx::infer_bus_interface {} 3 3 { lappend ::vendor_buses [lindex $words 0] }
    vendor ipx::get_bus_parameters {-quiet 0 -of_objects 1} 1 1
    vendor ipx::add_bus_parameter {} 2 2 { return [lindex $words 1]/[lindex $words 0] }
    vendor ipx::get_address_spaces {-quiet 0 -of_objects 1} 1 1 {
        if {[info exists ::vendor_spaces([lindex $words 0])]} { return space:[lindex $words 0] }
    }
    vendor ipx::add_address_space {} 2 2 { set ::vendor_spaces([lindex $words 0]) 1 }
    vendor ipx::get_memory_maps {-quiet 0 -of_objects 1} 0 1 { return s_axi_control }
    vendor ipx::remove_memory_map {} 2 2
    vendor ipx::add_memory_map {} 2 2 { return map:[lindex $words 0] }
    vendor ipx::add_address_block {} 2 2 { return block:[lindex $words 0] }
    vendor ipx::add_register {} 2 2 { return register:[lindex $words 0] }
    vendor ipx::add_field {} 2 2 { return [lindex $words 1]/[lindex $words 0] }
    foreach name {create_xgui_files update_checksums check_integrity save_core} { vendor ipx::$name {} 1 1 }
} else {
    vendor open_project {-reset 0} 1 1 { file mkdir [lindex $words 0] }
    vendor set_top {} 1 1
    vendor add_files {-cflags 1 -tb 0 -blackbox 0} 1 1 { must_exist $words }
    vendor open_solution {-reset 0 -flow_target 1} 1 1
    vendor set_part {} 1 1
    vendor create_clock {-period 1 -name 1} 0 0
    foreach name {csim_design cosim_design} { vendor $name {-O 0 -argv 1} 0 0 { must_exist [lindex $given(-argv) 0] } }
    vendor csynth_design {} 0 0
    vendor export_design {-format 1 -vendor 1 -library 1 -ipname 1 -version 1} 0 0
}

if {[catch { source $script } message]} {
    puts stderr "$message"
    note failed $message
    leave 3
}
note end
leave 0
